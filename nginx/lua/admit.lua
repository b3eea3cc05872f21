-- Part of Trimtab.
-- Admission: refuses a share of the requests of an upstream in the access phase, before a server is chosen, so that
-- none of them counts for a server. The share is set by an authenticated call (GET tells, PUT sets, DELETE lets
-- everybody in) and lives in a shared dictionary for as long as the call said: whoever set it has to say so again and
-- again, and when it falls silent everybody is let in.
--
-- Keys of the dictionary, u being an upstream: s:u "share status retry_after", which expires; o:u offered and r:u
-- refused, counts.
local ngx, random, tonumber, format = ngx, math.random, tonumber, string.format

local M = {}
local dict, known, tools, live

-- init runs in init_by_lua. opts: dict, upstreams (names that may be refused), tools (module control.lua), live (module
-- live.lua).
function M.init(opts)
    dict, tools, live, known = ngx.shared[opts.dict], opts.tools, opts.live, {}
    for _, name in ipairs(opts.upstreams) do known[name] = true end
    M.order = opts.upstreams
    return M
end

-- start runs in init_worker_by_lua: workers must not refuse in step.
function M.start() math.randomseed(ngx.worker.pid() * 7919 + math.floor(ngx.now() * 1000) % 1000003) end

-- access runs in the access phase of a location that passes requests to the upstream u.
function M.access(u)
    dict:incr("o:" .. u, 1, 0)
    local set = dict:get("s:" .. u)
    if not set then return end
    local share, status, retry = set:match("^(%S+) (%d+) (%d+)$")
    if not share or random() >= tonumber(share) then return end
    dict:incr("r:" .. u, 1, 0)
    ngx.status = tonumber(status)
    ngx.header["Retry-After"] = retry
    ngx.header["Content-Type"] = "text/plain"
    ngx.print("refused for now: try again\n")
    return ngx.exit(ngx.status)
end

local function state()
    local list = {}
    for i, u in ipairs(M.order) do
        local share = (dict:get("s:" .. u) or "0"):match("^%S+")
        local left = dict:ttl("s:" .. u) or 0
        list[i] = format('%s:{"share":%s,"left_s":%.3f,"offered":%.0f,"refused":%.0f}', tools.quote(u), share,
            left > 0 and left or 0,
            dict:get("o:" .. u) or 0, dict:get("r:" .. u) or 0)
    end
    return 200, format('{"format":1,"upstreams":{%s}}', table.concat(list, ","))
end

-- put sets what the lines say, "upstream share seconds status retry_after", all of them or none.
local function put(text)
    local wanted = {}
    for line in text:gmatch("[^\n]+") do
        local u, share, seconds, status, retry = line:match("^(%S+) ([%d.]+) ([%d.]+) (%d+) (%d+)$")
        share, seconds = tonumber(share), tonumber(seconds)
        if not u or not share or not seconds or (status ~= "503" and status ~= "429") then
            return tools.refusal(400, "line " .. line .. ": want upstream share seconds 503|429 retry_after")
        end
        if not known[u] then
            return tools.refusal(409, "upstream " .. u ..
                " is not one whose requests may be refused: install again with it")
        end
        if share > 1 or seconds <= 0 or seconds > 3600 then
            return tools.refusal(400, "line " .. line .. ": want a share of 0 to 1 for up to an hour")
        end
        wanted[#wanted + 1] = { u, share, seconds, format("%.6f %s %s", share, status, retry) }
    end
    if #wanted == 0 then return tools.refusal(400, "no lines") end
    for _, w in ipairs(wanted) do
        local ok, full = true, nil
        if w[2] > 0 then ok, full = dict:set("s:" .. w[1], w[4], w[3]) else dict:delete("s:" .. w[1]) end
        if not ok then return tools.refusal(507, "shared dictionary: " .. full) end
    end
    return state()
end

local function answer()
    local fault, why = tools.unauthorised(live)
    if fault then return fault, why end
    local method = ngx.req.get_method()
    if method == "GET" then return state() end
    if method == "PUT" then return put(tools.read_body()) end
    if method == "DELETE" then
        for _, u in ipairs(M.order) do dict:delete("s:" .. u) end
        return state()
    end
    return tools.refusal(405, "want GET, PUT or DELETE")
end

-- control is the content handler of the call.
function M.control()
    local ok, status, text = pcall(answer)
    if not ok then
        ngx.log(ngx.ERR, "trimtab: ", status)
        status, text = tools.refusal(500, "see NGINX's error log")
    end
    tools.reply(status, text)
end

return M
