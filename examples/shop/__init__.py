"""A small shop: an asyncio HTTP service over SQLite, and a client that puts it under load."""
