#!/usr/bin/env python3
"""Posts readings of a machine to plantgate over HTTPS (contract 1).

    post.py --url https://plantgate:8443 --cacert ca.crt --machine M001 \\
            --status Running temperature=72.31 tool=T12
    post.py --machine M001 --lines < readings.ndjson      # one JSON object a line

A reading gets its timestamp before it is sent for the first time, and the very same
body is sent again after 503, 429 or no answer: however often it arrives, it is
stored once. 201 means that it is on disk, 200 that it was there already.

Environment: EDGE_URL, EDGE_API_KEY (required), EDGE_CACERT, EDGE_MACHINE.
Exit: 0 stored, 1 refused, 2 wrong usage, 75 no answer after all retries.
"""

import argparse
import datetime
import json
import os
import sys
import time

import requests

RETRIED = {429, 503}


class Refused(Exception):
    """The server has the reading and will not take it; sending it again is no use."""


def parse_args():
    env = os.environ.get
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", default=env("EDGE_URL", "https://localhost:8443"))
    p.add_argument("--cacert", default=env("EDGE_CACERT"), help="the CA that plantgate prints at its start")
    p.add_argument("--machine", default=env("EDGE_MACHINE"))
    p.add_argument("--status", choices=["Running", "Idle", "Stopped", "Maintenance"])
    p.add_argument("--retries", type=int, default=5)
    p.add_argument("--lines", action="store_true", help="read one JSON object a line from standard input")
    p.add_argument("signals", nargs="*", metavar="NAME=VALUE")
    args = p.parse_args()
    args.key = env("EDGE_API_KEY")
    if not args.key:
        p.error("EDGE_API_KEY is required")
    if not args.lines and not args.machine:
        p.error("--machine is required")
    if any("=" not in s for s in args.signals):
        p.error("signals are written NAME=VALUE")
    return args


def scalar(text):
    """Returns what JSON makes of the text, or the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # NaN and Infinity are read by Python's json, but are not JSON.
    return text if isinstance(value, float) and value - value != 0 else value


def readings(args):
    if not args.lines:
        status = {"status": args.status} if args.status else {}
        yield status | {name: scalar(value) for name, value in (s.split("=", 1) for s in args.signals)}
        return
    for line in sys.stdin:
        if line.strip():
            yield json.loads(line)


def complete(reading, machine):
    """Adds what a reading must have so that a retry of it is harmless."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    known = {"machine_id": machine} if machine else {}
    return known | {"timestamp": now} | reading


def post(session, url, reading, verify, retries):
    """Posts one reading, again and again with the same bytes, until it is stored."""
    body = json.dumps(reading, allow_nan=False).encode()
    headers = {"Content-Type": "application/json"}
    for attempt in range(1, retries + 2):
        try:
            # Not session.verify: REQUESTS_CA_BUNDLE would come before that.
            r = session.post(url, data=body, headers=headers, verify=verify, timeout=30)
        except (requests.ConnectionError, requests.Timeout) as e:
            if isinstance(e, requests.exceptions.SSLError):
                raise Refused(f"TLS: {e}; give the server's CA with --cacert") from e
            last, wait = str(e), attempt
        else:
            if r.status_code in (200, 201):
                return r.json()
            if r.status_code not in RETRIED:
                raise Refused(f"{r.status_code}: {r.text}")
            asked = r.headers.get("Retry-After", "")
            last, wait = f"{r.status_code}: {r.text}", int(asked) if asked.isdigit() else attempt
        if attempt <= retries:
            time.sleep(wait)
    raise TimeoutError(f"not stored after {retries + 1} attempts, last: {last}")


def main():
    args = parse_args()
    with requests.Session() as session:
        session.headers["x-api-key"] = args.key
        url, verify = args.url.rstrip("/") + "/data", args.cacert or True
        for reading in readings(args):
            answer = post(session, url, complete(reading, args.machine), verify, args.retries)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Refused as e:
        sys.exit(f"post.py: refused with {e}")
    except TimeoutError as e:
        print(f"post.py: {e}", file=sys.stderr)
        sys.exit(75)
