"""proton-client.py publish|read HOST:PORT VHOST QUEUE: AMQP 1.0"""
import json
import sys

from proton import Message
from proton.utils import BlockingConnection

mode, address, vhost, queue = sys.argv[1:]
connection = BlockingConnection(
    address, virtual_host="vhost:" + vhost, allowed_mechs="PLAIN", user="guest", password="guest"
)
if mode == "publish":
    sender = connection.create_sender("/queues/" + queue)
    properties = {"text": "ü", "large": 2**53 + 1, "half": 0.5, "yes": True}
    sender.send(Message(body="plain text"))
    sender.send(Message(body={"id": 1}))
    sender.send(Message(
        body=b'{"id":2}', inferred=True, content_type="application/json", id="m1", correlation_id="c1", properties=properties))
else:
    receiver = connection.create_receiver("/queues/" + queue)
    message = receiver.receive(timeout=10)
    receiver.accept()
    print(json.dumps({
        "body": bytes(message.body).decode(), "contentType": message.content_type, "messageId": message.id,
        "headers": dict(message.properties), "annotations": {str(name): value for name, value in message.annotations.items()},
    }))
connection.close()
