-- Part of Trimtab.
-- The control call for live weights: GET tells the state, PUT sets weights, DELETE returns to the file's weights.
-- A PUT carries one line per server, "upstream server weight up|down", and is all or nothing: a line that does not fit
-- the running configuration refuses the whole call. Replies are JSON.
local M = {}

local function quote(s)
    return '"' .. tostring(s):gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

-- What follows returns status and text of a reply.
local function refusal(status, why) return status, '{"error":' .. quote(why) .. "}" end

-- same compares in a time that does not depend on where the two differ.
local function same(a, b)
    local digest_a, digest_b = ngx.sha1_bin(a), ngx.sha1_bin(b)
    local differ = 0
    for i = 1, #digest_a do differ = bit.bor(differ, bit.bxor(digest_a:byte(i), digest_b:byte(i))) end
    return differ == 0
end

local function server_json(p)
    return string.format('{"server":%s,"weight":%d,"base_weight":%d,"down":%s,"backup":%s,"fails":%d,"active":%d}',
        quote(p.server), p.weight, p.base, tostring(p.down), tostring(p.backup), p.fails, p.active)
end

local function group_json(live, g)
    local now, version = live.view(g)
    if not now then
        local closed = '%s:{"live":false,"why":%s,"method":"","version":0,"set":false,"outdated":false,"servers":[]}'
        return string.format(closed, quote(g.name), quote(version))
    end
    local servers = {}
    for _, list in ipairs { now.main, now.backup } do
        for _, p in ipairs(list) do servers[#servers + 1] = server_json(p) end
    end
    local set, outdated = live.outdated(g)
    return string.format('%s:{"live":true,"why":"","method":%s,"version":%d,"set":%s,"outdated":%s,"servers":[%s]}',
        quote(g.name), quote(now.method), version, tostring(set), tostring(outdated), table.concat(servers, ","))
end

local function state(live)
    local list = {}
    for i, g in ipairs(live.order) do list[i] = group_json(live, g) end
    return 200, string.format('{"format":2,"pid":%d,"upstreams":{%s}}', ngx.worker.pid(), table.concat(list, ","))
end

local function parse(live, text)
    local wanted, order = {}, {}
    for line in text:gmatch("[^\n]+") do
        local name, server, weight, word = line:match("^(%S+) (%S+) (%d+) (%a+)$")
        if not name or (word ~= "up" and word ~= "down") then
            return nil, 400, "line " .. line .. ": want upstream server weight up|down"
        end
        weight = tonumber(weight)
        if weight < 1 or weight > 100 then return nil, 400, "line " .. line .. ": want a weight from 1 to 100" end
        local g = live.groups[name]
        if not g then
            return nil, 409, "upstream " .. name ..
                " is not one whose weights may be set live: run trimtab nginx live install again"
        end
        if not g.known[server] then return nil, 409, "upstream " .. name .. " has no server " .. server end
        if not wanted[g] then wanted[g], order[#order + 1] = {}, g end
        wanted[g][server] = { weight = weight, down = word == "down" }
    end
    if #order == 0 then return nil, 400, "no lines" end
    return wanted, order
end

local function put(live, text)
    local wanted, order, why = parse(live, text)
    if not wanted then return refusal(order, why) end
    local before, status = {}, nil
    for i, g in ipairs(order) do
        before[i], status, why = live.check(g, wanted[g])
        if not before[i] then return refusal(status, why) end
    end
    for i, g in ipairs(order) do
        local set, ok = live.outdated(g), nil
        before[i].set = set
        ok, status, why = live.set(g, wanted[g], true)
        if not ok then
            for j = 1, i - 1 do live.set(order[j], before[j].held, before[j].set) end
            return refusal(status, why)
        end
    end
    return state(live)
end

local function delete(live)
    for _, g in ipairs(live.order) do
        if live.outdated(g) then
            local ok, status, why = live.reset(g)
            if not ok then return refusal(status, why) end
        end
    end
    return state(live)
end

local function read_body()
    ngx.req.read_body()
    local text = ngx.req.get_body_data()
    local path = not text and ngx.req.get_body_file()
    if path then
        local f = io.open(path, "rb")
        text = f and f:read("*a")
        if f then f:close() end
    end
    return text or ""
end

-- unauthorised returns status and text of a refusal, or nothing when the request holds the token.
local function unauthorised(live)
    local given = (ngx.var.http_authorization or ""):match("^Bearer (%S+)$")
    if not live.token or #live.token < 32 then
        return refusal(503, "no token of at least 32 characters in " .. live.opts.token_file)
    end
    if not given or not same(given, live.token) then return refusal(401, "wrong token") end
end

local function answer(live)
    local refused, why = unauthorised(live)
    if refused then return refused, why end
    local method, text = ngx.req.get_method(), read_body()
    if method == "GET" then return state(live) end
    if method == "PUT" then return put(live, text) end
    if method == "DELETE" then return delete(live) end
    return refusal(405, "want GET, PUT or DELETE")
end

local function reply(status, text)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #text + 1
    ngx.print(text, "\n")
end

M.quote, M.refusal, M.unauthorised, M.read_body, M.reply = quote, refusal, unauthorised, read_body, reply

local RELOADING = '{"error":"NGINX is reloading: ask again over a new connection","again":true}'

-- new returns the content handler of the control location. While NGINX reloads, workers of the old configuration still
-- take connections for a moment. What they say and do is true of the old configuration only: the caller is told to ask
-- again.
function M.new(live)
    return function()
        local ok, status, text = pcall(answer, live)
        if not ok then
            ngx.log(ngx.ERR, "trimtab: ", status)
            status, text = refusal(500, "see NGINX's error log")
        end
        if live.stale() then status, text = 503, RELOADING end
        reply(status, text)
    end
end

return M
