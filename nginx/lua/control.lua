-- The control call of the live balancer: GET tells the state, PUT sets weights, DELETE returns to the file's weights.
-- A PUT carries one line per server, "upstream server weight up|down", and is all or nothing: a line that does not fit
-- the running configuration refuses the whole call. Replies are JSON.
local M = {}

local JSON = "application/json"

local function quote(s)
    return '"' .. tostring(s):gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

local function reply(status, text)
    ngx.status = status
    ngx.header["Content-Type"] = JSON
    ngx.header["Content-Length"] = #text + 1
    ngx.print(text, "\n")
end

local function refuse(status, why) return reply(status, '{"error":' .. quote(why) .. "}") end

-- same compares in a time that does not depend on where the two differ.
local function same(a, b)
    local digest_a, digest_b = ngx.sha1_bin(a), ngx.sha1_bin(b)
    local differ = 0
    for i = 1, #digest_a do differ = bit.bor(differ, bit.bxor(digest_a:byte(i), digest_b:byte(i))) end
    return differ == 0
end

local function group_json(balancer, g)
    local dict = balancer.view(g)
    local servers, set = {}, dict:get(g.w)
    for i, p in ipairs(g.peers) do
        servers[i] = string.format('{"server":%s,"weight":%d,"base_weight":%d,"down":%s,"backup":%s,"fails":%d,"active":%d}',
            quote(p.name), p.weight, p.base, tostring(p.down), tostring(p.backup), p.fails, g.own[p.index] + g.others[p.index])
    end
    return string.format('%s:{"live":%s,"why":%s,"method":%s,"version":%d,"set":%s,"outdated":%s,"counts_active":%s,"servers":[%s]}',
        quote(g.name), tostring(not g.why), quote(g.why or ""), quote(g.method), g.version, tostring(set ~= nil),
        tostring(set ~= nil and set:match("^[^\n]*") ~= g.signature), tostring(g.counted), table.concat(servers, ","))
end

local function state(balancer)
    local list = {}
    for i, g in ipairs(balancer.order) do list[i] = group_json(balancer, g) end
    return string.format('{"format":1,"pid":%d,"upstreams":{%s}}', ngx.worker.pid(), table.concat(list, ","))
end

local function parse(balancer, text)
    local wanted, order = {}, {}
    for line in text:gmatch("[^\n]+") do
        local name, server, weight, word = line:match("^(%S+) (%S+) (%d+) (%a+)$")
        if not name or (word ~= "up" and word ~= "down") then return nil, 400, "line " .. line .. ": want upstream server weight up|down" end
        weight = tonumber(weight)
        if weight < 1 or weight > 100 then return nil, 400, "line " .. line .. ": want a weight from 1 to 100" end
        local g = balancer.groups[name]
        if not g then return nil, 409, "upstream " .. name .. " is not one that the live balancer knows: run trimtab nginx live install again" end
        if g.why then return nil, 409, g.why end
        if not g.by_name[server] then return nil, 409, "upstream " .. name .. " has no server " .. server end
        if not wanted[g] then wanted[g], order[#order + 1] = {}, g end
        wanted[g][server] = { weight, word }
    end
    if #order == 0 then return nil, 400, "no lines" end
    return wanted, order
end

-- settle lets NGINX's clock go on: every worker looks for changes once per millisecond of it, so that what comes after the reply
-- meets the new weights everywhere.
local function settle()
    ngx.update_time()
    ngx.sleep(0.002)
end

local function put(balancer, text)
    local wanted, order, why = parse(balancer, text)
    if not wanted then return refuse(order, why) end
    local sets = {}
    for _, g in ipairs(order) do
        balancer.view(g)
        local lines, up = { g.signature }, 0
        for _, p in ipairs(g.peers) do
            local want = wanted[g][p.name] or { p.weight, p.down and "down" or "up" }
            if want[2] == "up" and not p.backup then up = up + 1 end
            lines[#lines + 1] = p.name .. " " .. want[1] .. " " .. want[2]
        end
        if up == 0 then return refuse(409, "upstream " .. g.name .. ": no server would be left") end
        sets[g] = table.concat(lines, "\n")
    end
    for _, g in ipairs(order) do
        local dict = balancer.view(g)
        if dict:get(g.w) ~= sets[g] then
            local ok, err = dict:safe_set(g.w, sets[g])
            if not ok then return refuse(507, "shared dictionary: " .. err .. ": install again, which sizes it to the configuration") end
            balancer.bump(g)
        end
    end
    settle()
    return reply(200, state(balancer))
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

local function handle(balancer)
    local given = (ngx.var.http_authorization or ""):match("^Bearer (%S+)$")
    if not balancer.token or #balancer.token < 32 then return refuse(503, "no token of at least 32 characters in " .. balancer.opts.token_file) end
    if not given or not same(given, balancer.token) then return refuse(401, "wrong token") end
    local method = ngx.req.get_method()
    if method == "GET" then return reply(200, state(balancer)) end
    if method == "PUT" then return put(balancer, read_body()) end
    if method == "DELETE" then
        for _, g in ipairs(balancer.order) do
            local dict = balancer.view(g)
            dict:delete(g.w)
            balancer.bump(g)
        end
        settle()
        return reply(200, state(balancer))
    end
    return refuse(405, "want GET, PUT or DELETE")
end

-- new returns the content handler of the control location.
function M.new(balancer)
    return function()
        local ok, err = pcall(handle, balancer)
        if not ok then
            ngx.log(ngx.ERR, "trimtab: ", err)
            refuse(500, "see NGINX's error log")
        end
    end
end

return M
