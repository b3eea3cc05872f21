-- Part of Trimtab.
-- What NGINX's variables say about a request: the same on every version, and enough for the counters. Which servers a
-- group has and what their weights are they do not say.

local ngx, tonumber, floor = ngx, tonumber, math.floor

local M = {}

-- unescaped walks over a list as NGINX prints it for several attempts: "a, b" for one that was passed on, "a : b" for
-- an internal redirect. It returns the words, and for each the number of redirects before it.
local function words(text)
    local list, redirects, n = {}, {}, 0
    local from = 1
    for word, mark, after in text:gmatch("(.-)( ?[,:] )()") do
        list[#list + 1], redirects[#list + 1] = word, n
        if mark == " : " then n = n + 1 end
        from = after
    end
    list[#list + 1], redirects[#list + 1] = text:sub(from), n
    return list, redirects, n
end

local function milliseconds(text)
    local seconds = tonumber(text)
    return seconds and floor(seconds * 1000 + 0.5) or 0 -- "-": it never began
end

-- attempts calls charge(group, server, last, status, response_ms) for every attempt of the current request. group is
-- the host that proxy_pass names, nil where that is not known: before an internal redirect, and for modules other than
-- proxy.
function M.attempts(charge)
    local var = ngx.var
    local addresses = var.upstream_addr
    if not addresses or addresses == "" or addresses == "-" then return end
    local group = var.trimtab_group
    if group == "" then group = nil end
    local statuses, times = var.upstream_status or "", var.upstream_response_time or ""
    if not addresses:find("[,:] ") then
        return charge(group, addresses, true, tonumber(statuses) or 0, milliseconds(times))
    end
    local servers, redirects, last_redirect = words(addresses)
    local codes, spent = words(statuses), words(times)
    for i, server in ipairs(servers) do
        if server ~= "" then
            charge(redirects[i] == last_redirect and group or nil, server, i == #servers, tonumber(codes[i]) or 0,
                milliseconds(spent[i]))
        end
    end
end

-- request returns status, bytes in, bytes out and the time in ms of the current request, and the name of its server
-- block.
function M.request()
    local var = ngx.var
    local ms = floor((ngx.now() - ngx.req.start_time()) * 1000 + 0.5)
    return tonumber(var.status) or ngx.status, tonumber(var.request_length) or 0, tonumber(var.bytes_sent) or 0,
        ms > 0 and ms or 0,
        var.server_name or ""
end

-- connections returns active, reading, writing and waiting; 0 where NGINX was built without http_stub_status_module.
function M.connections()
    local var = ngx.var
    return tonumber(var.connections_active) or 0, tonumber(var.connections_reading) or 0,
        tonumber(var.connections_writing) or 0,
        tonumber(var.connections_waiting) or 0
end

return M
