<?php
// php-amqplib-client.php publish|read HOST PORT VHOST QUEUE
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

[, $mode, $host, $port, $vhost, $queue] = $argv;
$connection = new AMQPStreamConnection($host, $port, 'guest', 'guest', $vhost);
$channel = $connection->channel();
if ($mode === 'publish') {
    $channel->confirm_select();
    $headers = new AMQPTable([
        'text' => 'ü', 'int' => 7, 'large' => 2 ** 53 + 1, 'negative' => -1, 'half' => 0.5, 'yes' => true, 'list' => [1, 'two'],
        'table' => ['a' => 1],
    ]);
    $channel->basic_publish(new AMQPMessage('plain text'), '', $queue);
    $channel->basic_publish(new AMQPMessage(json_encode(['id' => 1])), '', $queue);
    $channel->basic_publish(new AMQPMessage('plain text', ['content_type' => 'text/plain']), '', $queue);
    $channel->basic_publish(new AMQPMessage(json_encode(['id' => 2]), [
        'content_type' => 'application/json', 'application_headers' => $headers, 'message_id' => 'm1', 'correlation_id' => 'c1',
        'type' => 't1', 'app_id' => 'a1',
    ]), '', $queue);
    $channel->wait_for_pending_acks();
} else {
    $message = $channel->basic_get($queue, true);
    $properties = $message->get_properties();
    echo json_encode([
        'body' => $message->getBody(), 'contentType' => $properties['content_type'] ?? null,
        'messageId' => $properties['message_id'] ?? null, 'deliveryMode' => $properties['delivery_mode'] ?? null,
        'headers' => isset($properties['application_headers']) ? $properties['application_headers']->getNativeData() : null,
    ]);
}
$channel->close();
$connection->close();
