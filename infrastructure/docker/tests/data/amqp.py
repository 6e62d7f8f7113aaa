"""One thing that a user of the broker tries; the broker's refusal is an exit code.

amqp.py URL login | declare QUEUE | remove QUEUE | exchange NAME | bind QUEUE EXCHANGE
        | publish EXCHANGE KEY [BODY] | get QUEUE | consume-reply | own
"""

import ssl
import sys

import pika


def connect(url: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = 5
    if url.startswith("amqps:"):
        context = ssl.create_default_context(cafile=sys.argv[-1])
        parameters.ssl_options = pika.SSLOptions(context, "localhost")
    return pika.BlockingConnection(parameters)


def attempt(channel, what: str, words: list[str]) -> None:
    if what == "declare":
        channel.queue_declare(words[0], durable=True)
    elif what == "remove":
        channel.queue_delete(words[0])
    elif what == "exchange":
        channel.exchange_declare(words[0], "topic", durable=True)
    elif what == "bind":
        channel.queue_bind(words[0], words[1], "#")
    elif what == "publish":
        channel.confirm_delivery()
        body = words[2] if len(words) > 2 else ""
        channel.basic_publish(words[0], words[1], body.encode(), mandatory=False)
    elif what == "get":
        _, _, body = channel.basic_get(words[0], auto_ack=True)
        print("" if body is None else body.decode())
    elif what == "consume-reply":
        channel.basic_consume("amq.rabbitmq.reply-to", lambda *_: None, auto_ack=True)
        channel.basic_cancel("amq.rabbitmq.reply-to")
    elif what == "own":
        name = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(name, "agent.status", "#")
    elif what != "login":
        raise SystemExit(f"unknown: {what}")


def main() -> None:
    url, what, *words = sys.argv[1:]
    try:
        connection = connect(url)
        attempt(connection.channel(), what, words)
        connection.close()
    except Exception as error:  # every refusal counts, and says what it is
        raise SystemExit(f"{type(error).__name__}: {error!r}") from None


if __name__ == "__main__":
    main()
