"""A model of nats-server 2.15 with JetStream, as far as Squall relies on it: one server, by callbacks,
without I/O.

    Broker(clock, chance)
      .connect(name, rights, deliver) ─► Session ◄── receive(frame), closed()      frames.py
      .kill()  .start()                              the process ends at once, and another begins
      .on_store  .on_deliver  .source_delay_s        for the world around it

What it does it does as the server does, with the same codes and words; `tests/model` gives both the same
random operations and compares. What it does not know is an error (`Unmodelled`), never a guess.

Modelled, and held to the server:

* plain subjects with wildcards, replies, *no responders* with its header
* streams: retention by limits and as work queue; bounds of messages, bytes (with what a record takes),
  messages a subject, size, age; old or new discarded, by subject too; on file or in memory; what is wrong
  with a configuration; the same one again; state, subjects by pattern
* publishing: expected sequence of the subject, of another subject, of the stream; the expected stream;
  message ids within their window; the order in which these are looked at
* atomic batches: staged, incomplete, without a number, with ids twice, with expectations of what they
  wrote; fences
* sources: transforms with ``wildcard`` and ``partition``, what is left of headers, where a message came
  from, ids that come along, a target that is full and tried again, where a server that was started again
  goes on
* gets by place, by subject and by pattern; direct gets by subject; purges by place, pattern and number to
  keep, and what they do to consumers
* pull consumers: explicit acknowledgements or none; one filter or several; those that a work queue
  refuses; from where they begin; batches, bytes and heartbeats of a request, expiry with what is left,
  ``no_wait``; bounds of what waits, of what is pending, of a request; ack wait, nak with and without
  delay, +WPI, +TERM; attempts; what a limit, a purge or a deletion does to what is pending; pause; the
  end of a consumer; the same one made again; other filters, and another bound of what is pending
* a killed process: what is stored stays, consumers in memory go, what was pending comes again, ids are
  known by what is stored

Modelled, and held to a reading of the server's source, with tests of the model alone:

* rights of a topology (`rights_of`): violations in the server's words; accounts of isolated nodes, their
  imports, ``Nats-Request-Info``. A reply subject out of such an account is ``_R_.<account>.<subject>`` in
  CORE, where the server has a random one; any number of answers goes back.
* pings, and connections that are stale
* consumers that nobody uses end after their threshold and up to a second more
* of what consumers did in the last 0.1 s a killed process may have forgotten any tail

Simpler than the server: a message is removed the moment it is too old (the server looks every quarter of
a second), an id is forgotten the moment its window is over, and everything that happens between two
timers happens in no time, one thing after the other. Which of several things that a server does at a time
comes first is drawn nowhere; the network around the model is where time passes.

Left out: accounts proper, credentials and their expiry, who may connect; clusters and replicas; pushing
consumers, other acknowledgement and delivery policies, ``max_deliver``, other changes of a consumer, when one
that has lost all of its filters looks for messages and what is left for it, changes of a stream; mirrors,
roll-ups, time to live of messages, counters, schedules; queue groups; message tracing; system events and
statistics; bounds of accounts and of the server, payload and control line among them; slow consumers, back-
pressure and write deadlines; lame duck mode; the loss of unsynced messages when the machine, not the process,
dies; streams in memory over a kill.
"""
