/**
 * The side of the node in `erlang-control.ts`: listens on loopback, and evaluates what those send who know the node's cookie,
 * as Erlang's own remote calls do. Each question is a connection of its own: the cookie and the source in a frame of four
 * bytes of length, and back the kind of answer and its text in another.
 *
 * It starts before RabbitMQ and depends on nothing of it, so it can be asked while the broker boots, and after it was stopped.
 */

/** Erlang text for `-eval`. The node ends if the port is taken, as it does for its other ports. */
export function evaluatorSource(port: number): string {
  return `
    Text = fun(Format, Terms) -> unicode:characters_to_binary(io_lib:format(Format, Terms)) end,
    Evaluate = fun(Expressions) ->
      try erl_eval:exprs(Expressions, erl_eval:new_bindings()) of
        {value, Value, _} when is_binary(Value) -> [<<"value:">>, Value];
        {value, Value, _} -> [<<"value:">>, Text("~0tp", [Value])]
      catch Class:Reason -> [<<"failure:">>, Text("~0tp: ~0tp", [Class, Reason])]
      end
    end,
    Read = fun(Source) ->
      case erl_scan:string(unicode:characters_to_list(Source)) of
        {ok, Tokens, _} -> erl_parse:parse_exprs(Tokens);
        {error, Complaint, _} -> {error, Complaint}
      end
    end,
    Answer = fun(Source) ->
      case Read(Source) of
        {ok, Expressions} -> Evaluate(Expressions);
        {error, Complaint} -> [<<"unread:">>, Text("~0tp", [Complaint])]
      end
    end,
    {ok, Cookie} = file:read_file(filename:join(os:getenv("HOME"), ".erlang.cookie")),
    Size = byte_size(Cookie),
    Serve = fun(Socket) ->
      case gen_tcp:recv(Socket, 0) of
        {ok, <<Given:Size/binary, Source/binary>>} when Given =:= Cookie -> gen_tcp:send(Socket, Answer(Source));
        _ -> refused
      end,
      gen_tcp:close(Socket)
    end,
    Accept = fun Accept(Listener) ->
      case gen_tcp:accept(Listener) of
        {ok, Socket} ->
          Server = spawn(fun() -> receive yours -> Serve(Socket) end end),
          gen_tcp:controlling_process(Socket, Server),
          Server ! yours;
        {error, _} -> timer:sleep(10)
      end,
      Accept(Listener)
    end,
    spawn(fun() ->
      Options = [binary, {ip, {127, 0, 0, 1}}, {packet, 4}, {active, false}, {reuseaddr, true}, {backlog, 128}],
      case gen_tcp:listen(${port}, Options) of
        {ok, Listener} -> Accept(Listener);
        {error, Refusal} -> io:format("control port ${port}: ~p~n", [Refusal]), halt(1)
      end
    end).`;
}
