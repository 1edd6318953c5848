"""The connection to PostgreSQL."""

import asyncpg

Db = asyncpg.Pool
