"""What applications use: sessions, the asyncio and the DB-API connection, subscriptions.

text -> sql.parse, sql.bind -> Session -> Replica (this machine), Remote (the network)
"""
