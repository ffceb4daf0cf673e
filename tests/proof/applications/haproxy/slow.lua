-- An answer that takes 12 s, begun at once.
core.register_service("slow", "http", function(applet)
  applet:set_status(200)
  applet:add_header("content-length", "12")
  applet:start_response()
  for _ = 1, 12 do
    core.msleep(1000)
    applet:send(".")
  end
end)
