vcl 4.1;

backend default {
  .host = "127.0.0.1";
  .port = "8081";
}

sub vcl_recv {
  if (req.url == "/slow") {
    return (pass);
  }
  return (synth(200));
}

sub vcl_synth {
  synthetic("ok");
  return (deliver);
}
