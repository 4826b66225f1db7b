-- Several paths in turn.
local paths, i = {"/ok", "/ok", "/missing", "/busy", "/moved"}, 0
request = function() i = i + 1; return wrk.format("GET", paths[i % #paths + 1]) end
