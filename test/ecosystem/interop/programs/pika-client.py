"""pika-client.py publish|read URL QUEUE"""
import json
import sys

import pika

mode, url, queue = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
if mode == "publish":
    channel.confirm_delivery()
    headers = {
        "text": "ü", "int": 7, "large": 2**53 + 1, "negative": -1, "yes": True, "list": [1, "two"], "table": {"a": 1},
    }
    send = lambda body, properties=None: channel.basic_publish("", queue, body, properties)
    send("plain text")
    send(json.dumps({"id": 1}))
    send("plain text", pika.BasicProperties(content_type="text/plain"))
    send(b"\x00\xff", pika.BasicProperties(content_type="application/octet-stream"))
    send(json.dumps({"id": 2}), pika.BasicProperties(
        content_type="application/json", headers=headers, message_id="m1", correlation_id="c1", type="t1", app_id="a1"))
else:
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    print(json.dumps({
        "body": body.decode(), "contentType": properties.content_type, "messageId": properties.message_id,
        "deliveryMode": properties.delivery_mode, "headers": properties.headers,
    }))
connection.close()
