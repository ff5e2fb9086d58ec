"""The prompt. Only a person at a terminal pays for importing this: prompt_toolkit and Pygments."""
