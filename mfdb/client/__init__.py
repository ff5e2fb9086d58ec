"""What an application imports: connections, cursors, subscriptions."""
