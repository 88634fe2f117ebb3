# bunny-client.rb publish|read URL QUEUE
require 'bunny'
require 'json'

mode, url, queue = ARGV
session = Bunny.new(url)
session.start
channel = session.create_channel
if mode == 'publish'
  channel.confirm_select
  headers = {
    'text' => 'ü', 'int' => 7, 'large' => 2**53 + 1, 'negative' => -1, 'half' => 0.5, 'yes' => true, 'list' => [1, 'two'],
    'table' => { 'a' => 1 }
  }
  exchange = channel.default_exchange
  exchange.publish('plain text', routing_key: queue)
  exchange.publish(JSON.dump({ id: 1 }), routing_key: queue)
  exchange.publish('plain text', routing_key: queue, content_type: 'text/plain')
  exchange.publish(JSON.dump({ id: 2 }), routing_key: queue, content_type: 'application/json', headers: headers,
                                         message_id: 'm1', correlation_id: 'c1', type: 't1', app_id: 'a1')
  channel.wait_for_confirms
else
  _, properties, body = channel.basic_get(queue)
  # Bunny gives texts as bytes.
  read = ->(value) { value.is_a?(String) ? value.dup.force_encoding('utf-8') : value }
  puts JSON.dump({ body: read[body], contentType: properties[:content_type], messageId: properties[:message_id],
                   deliveryMode: properties[:delivery_mode], headers: properties[:headers].transform_values(&read) })
end
session.close
