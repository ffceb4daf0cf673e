-- An answer that takes 20 s, begun at once.
core.register_service("slow", "http", function(applet)
  applet:set_status(200)
  applet:add_header("content-length", "20")
  applet:start_response()
  for _ = 1, 20 do
    core.msleep(1000)
    applet:send(".")
  end
end)
