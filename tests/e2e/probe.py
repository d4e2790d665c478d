"""Tries to write on every member directly, a few times a second, and logs what was accepted.

Runs in a pod of the database image. A line is `P <member> <major> <timeline> <sent ms> <answered ms>`. No accepted write
may be sent after another was answered on a later timeline: that would be a second primary. Each major version counts its
timelines anew.
"""
import os
import select
import signal
import sys
import threading
import time

import psycopg2
import psycopg2.extensions

local = threading.local()


def wait(connection):
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        left = local.deadline - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError("no answer in time")
        if state == psycopg2.extensions.POLL_READ:
            select.select([connection.fileno()], [], [], left)
        else:
            select.select([], [connection.fileno()], [], left)


def read(key):
    with open("/etc/credentials/" + key, encoding="utf-8") as file:
        return file.read()


def now_ms():
    return time.time_ns() // 1_000_000


def write(cursor, member):
    sent = now_ms()
    cursor.execute("CREATE TABLE IF NOT EXISTS probed (member text, at timestamptz DEFAULT now())")
    cursor.connection.notices.clear()
    cursor.execute(
        "INSERT INTO probed (member) VALUES (%s) "
        "RETURNING current_setting('server_version_num')::int / 10000, "
        "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int",
        (member,),
    )
    major, timeline = cursor.fetchone()
    if not cursor.connection.notices:
        print("P", member, major, timeline, sent, now_ms(), flush=True)


def probe(member, host):
    connection = None
    while True:
        try:
            local.deadline = time.monotonic() + 2
            if connection is None:
                connection = psycopg2.connect(
                    host=host, port=5432, dbname=read("database"), user=read("username"), password=read("password"),
                    connect_timeout=2, application_name="probe", options="-c client_min_messages=warning",
                )
                connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_is_in_recovery()")
                if not cursor.fetchone()[0]:
                    write(cursor, member)
            connection.notices.clear()
        except psycopg2.Error:
            if connection is not None:
                connection.close()
                connection = None
        time.sleep(0.2)


# An end in order would wait for the output, which a thread may hold; each line is out as soon as it is written.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
psycopg2.extensions.set_wait_callback(wait)
database, size = sys.argv[1], int(sys.argv[2])
for ordinal in range(size):
    member = f"{database}-{ordinal}"
    threading.Thread(target=probe, args=(member, f"{member}.{database}-pods"), daemon=True).start()
while True:
    time.sleep(3600)
