"""bench_tweepy.py URL CAFILE: tweepy's StreamingClient, its own loop and
parsing; each message is written as it came. Status 1 if the last is missing."""

import sys

import tweepy
from tweepy.streaming import BaseStream


class Client(tweepy.StreamingClient):
    def on_data(self, raw):
        super().on_data(raw)
        sys.stdout.buffer.write(raw + b"\n")
        if raw.startswith(b'{"disconnect"'):
            self.disconnect()

    def fail(self, why=None):
        if self.running:  # else the last message has come
            sys.exit(f"tweepy: the stream ended: {why}")

    on_closed = on_connection_error = on_request_error = on_exception = fail


# all that StreamingClient._connect adds is Twitter's URL and the token
BaseStream._connect(Client("token", verify=sys.argv[2]), "GET", sys.argv[1])
