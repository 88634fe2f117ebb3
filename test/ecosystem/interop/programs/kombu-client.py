"""kombu-client.py publish|read URL QUEUE"""
import json
import sys

from kombu import Connection, Queue

mode, url, queue = sys.argv[1:]
with Connection(url) as connection:
    if mode == "publish":
        headers = {
            "text": "ü", "int": 7, "large": 2**53 + 1, "negative": -1, "half": 0.5, "yes": True, "list": [1, "two"],
            "table": {"a": 1},
        }
        producer = connection.Producer()
        send = lambda body, **properties: producer.publish(body, exchange="", routing_key=queue, **properties)
        send("plain text")
        send({"id": 1})
        send(b"\x00\xff")
        send({"id": 2}, headers=headers, message_id="m1", correlation_id="c1", type="t1", app_id="a1")
        send({"id": 3}, compression="gzip")
    else:
        simple = connection.SimpleQueue(Queue(queue, no_declare=True))
        message = simple.get(timeout=5)
        message.ack()
        print(json.dumps({
            "body": message.payload, "contentType": message.content_type, "messageId": message.properties.get("message_id"),
            "deliveryMode": message.properties.get("delivery_mode"), "headers": message.headers,
        }))
        simple.close()
