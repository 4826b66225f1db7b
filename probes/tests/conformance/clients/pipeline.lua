-- Four requests at a time on each connection.
local all
init = function() local one = wrk.format("GET", "/ok"); all = one .. wrk.format("GET", "/missing") .. one .. one end
request = function() return all end
