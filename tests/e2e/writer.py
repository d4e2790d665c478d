"""Writes increasing ids, one row a transaction, through a Service, and logs what was acknowledged.

Runs in a pod of the database image. Each connection and statement has a deadline of 2 s of its own, as
statement_timeout does not cover the wait for a synchronous standby. A line is `A <id> <ms>` for an
acknowledged row, `E <ms> <reason>` for an attempt without one. An id whose outcome is unknown is never
used again. An insert that was acknowledged with a warning (a cancelled wait commits locally) does not count.
"""
import select
import signal
import sys
import time

import psycopg2
import psycopg2.extensions

DEADLINE_S = 2.0
deadline = 0.0


def wait(connection):
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError("no answer in time")
        if state == psycopg2.extensions.POLL_READ:
            select.select([connection.fileno()], [], [], left)
        else:
            select.select([], [connection.fileno()], [], left)


def arm():
    global deadline
    deadline = time.monotonic() + DEADLINE_S


def read(key):
    with open("/etc/credentials/" + key, encoding="utf-8") as file:
        return file.read()


def connect():
    arm()
    connection = psycopg2.connect(
        host=sys.argv[1], port=5432, dbname=read("database"), user=read("username"), password=read("password"),
        connect_timeout=2, application_name="writer", options="-c client_min_messages=warning",
    )
    connection.autocommit = True
    return connection


def now_ms():
    return time.time_ns() // 1_000_000


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
psycopg2.extensions.set_wait_callback(wait)
pause_s, identifier, connection = float(sys.argv[2]), int(sys.argv[3]), None
while True:
    try:
        if connection is None:
            connection = connect()
            with connection.cursor() as cursor:
                arm()
                cursor.execute("CREATE TABLE IF NOT EXISTS written (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
            connection.notices.clear()
        identifier += 1
        with connection.cursor() as cursor:
            arm()
            cursor.execute("INSERT INTO written (id) VALUES (%s)", (identifier,))
        if connection.notices:
            raise psycopg2.OperationalError(connection.notices[-1])
        print("A", identifier, now_ms(), flush=True)
        time.sleep(pause_s)
    except psycopg2.Error as error:
        print("E", now_ms(), " ".join(str(error).split()), flush=True)
        if connection is not None:
            connection.close()
            connection = None
        time.sleep(0.1)
