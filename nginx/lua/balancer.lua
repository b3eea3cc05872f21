-- Trimtab's live balancer: NGINX's smooth weighted round robin and least_conn, with weights that live in a shared
-- dictionary and change without a reload, and passive failure marking as NGINX does it.
--
-- Whenever something is not as it should be (a group that could not be read, an error in here), the pick is left to
-- NGINX's own round robin with the weights of the file: a request is never refused because of this code.
--
-- Keys of the dictionary, g being a group and p a server:
--   v:g        version, incremented by every change of weights or health; workers compare it once per request
--   w:g        the weights set: the signature of the file's servers, then "server weight up|down" lines
--   f:g p, a:g p, c:g p   failures, time of the last one, time of the last check, s
--   t:g p      who may probe a failed server, expires after its fail_timeout
--   n, s:k     number of worker slots; owner of slot k as "pid:start"
--   k:sig      active requests per server of the worker in slot k, as packed int32
local ffi = require "ffi"
local ngx_balancer = require "ngx.balancer"
local base = require "resty.core.base"

local get_request, set_peer, last_failure = base.get_request, ngx_balancer.set_current_peer, ngx_balancer.get_last_failure
local ngx, tonumber, cast, str, floor, byte = ngx, tonumber, ffi.cast, ffi.string, math.floor, string.byte
local pcall, ipairs, max = pcall, ipairs, math.max

local M = { groups = {}, order = {} }
local groups = M.groups
local dict, slot, get, now_ms
local inflight = {} -- by address of the request: what it was last sent to

-- Master --------------------------------------------------------------------------------------------------------

-- init runs in init_by_lua. opts: dict, dir (this file's folder), prefix, token_file, groups = { {name, file, own} }.
function M.init(opts)
    M.opts = opts
    local peers = dofile(opts.dir .. "/peers.lua")
    M.control = dofile(opts.dir .. "/control.lua").new(M)
    local f = io.open(opts.token_file, "r")
    M.token = f and f:read("*l")
    if f then f:close() end
    for _, want in ipairs(opts.groups) do
        local g, why = peers.read(want.name, want.file, opts.prefix, want.own)
        if not g then
            g = { name = want.name, why = why, peers = {}, method = "round_robin" }
            ngx.log(ngx.ERR, "trimtab: ", why, ": NGINX's own round robin serves this group")
        end
        M.prepare(g)
    end
    return M
end

function M.prepare(g)
    g.main, g.backup, g.by_name, g.counted = {}, {}, {}, g.method == "least_conn"
    for i, p in ipairs(g.peers) do
        p.index, p.weight, p.down, p.eff, p.current = i - 1, p.base, p.base_down, p.base, 0
        p.fails, p.accessed, p.checked = 0, 0, 0
        local key = g.name .. " " .. p.name
        p.f, p.a, p.c, p.t = "f:" .. key, "a:" .. key, "c:" .. key, "t:" .. key
        local list = p.backup and g.backup or g.main
        list[#list + 1] = p
        g.by_name[p.name] = p
        if p.max_conns > 0 then g.counted = true end
    end
    -- NGINX marks no failures for a group of one server: there is nothing else to try.
    g.single = #g.peers == 1
    g.v, g.w, g.version = "v:" .. g.name, "w:" .. g.name, -1
    local n = max(1, #g.peers)
    g.own, g.others, g.tick = ffi.new("int32_t[?]", n), ffi.new("int32_t[?]", n), -1
    g.signature = g.signature or ""
    g.suffix = ":" .. g.name .. ":" .. ngx.md5(g.signature)
    g.slot_keys = {}
    groups[g.name], M.order[#M.order + 1] = g, g
end

-- Worker slots: every worker keeps its own active counts under its own key, so that they are exact without atomic
-- operations, and those of a crashed worker are recognised by its process being gone.

local function identity(pid)
    local f = io.open("/proc/" .. pid .. "/stat", "r")
    if not f then return nil end
    local line = f:read("*l") or ""
    f:close()
    local field, start = 2, nil
    for word in (line:match("^.*%)%s*(.*)$") or ""):gmatch("%S+") do
        field = field + 1
        if field == 22 then start = word break end
    end
    return pid .. ":" .. (start or "")
end

local function alive(owner) return identity(owner:match("^%d+")) == owner end

local function slot_key(g, k)
    local key = g.slot_keys[k]
    if not key then key = k .. g.suffix; g.slot_keys[k] = key end
    return key
end

local function bury(k)
    for _, g in ipairs(M.order) do dict:delete(slot_key(g, k)) end
end

local function claim()
    local me, k = identity(ngx.worker.pid()) or (ngx.worker.pid() .. ":"), 0
    while true do
        local owner = dict:get("s:" .. k)
        if not owner and dict:safe_add("s:" .. k, me) then break end
        owner = owner or dict:get("s:" .. k)
        if owner and not alive(owner) and dict:safe_add("d:" .. k .. owner, 1, 60) then
            dict:safe_set("s:" .. k, me)
            break
        end
        k = k + 1
        if k > 4096 then return nil end
    end
    while (dict:get("n") or 0) <= k do dict:incr("n", 1, 0) end
    bury(k)
    return k
end

local function sweep(premature)
    if premature then return end
    for k = 0, (dict:get("n") or 0) - 1 do
        local owner = k ~= slot and dict:get("s:" .. k)
        if owner and not alive(owner) then bury(k) end
    end
end

local function start()
    dict = ngx.shared[M.opts.dict]
    get, now_ms = dict.get, ngx.now
    slot = claim()
    if not slot then error("no free worker slot") end
    ngx.timer.every(5, sweep)
end

-- State of a group ----------------------------------------------------------------------------------------------

local function restart(p) p.eff, p.current = p.weight, 0 end

-- refresh takes over what has changed in the dictionary since this worker looked last.
local function refresh(g)
    local version = get(dict, g.v) or 0
    if version == g.version then return end
    g.version = version
    local set, signature = get(dict, g.w), nil
    local wanted = {}
    if set then
        signature = set:match("^[^\n]*")
        if signature == g.signature then
            for name, weight, state in set:gmatch("\n(%S+) (%d+) (%a+)") do wanted[name] = { tonumber(weight), state == "down" } end
        end
    end
    local changed = false
    for _, p in ipairs(g.peers) do
        local want = wanted[p.name]
        local weight, down = want and want[1] or p.base, p.base_down
        if want then down = want[2] end
        if weight ~= p.weight or down ~= p.down then p.weight, p.down, changed = weight, down, true end
        p.fails = get(dict, p.f) or 0
        if p.fails > 0 then p.accessed, p.checked = get(dict, p.a) or 0, get(dict, p.c) or 0 end
    end
    if changed then
        for _, p in ipairs(g.peers) do restart(p) end
    end
end

local function bump(g) dict:incr(g.v, 1, 0) end

local function active(g)
    local tick = now_ms()
    if tick == g.tick then return end -- NGINX's cached clock: once per turn of the event loop
    g.tick = tick
    local n = #g.peers
    ffi.fill(g.others, 4 * n)
    for k = 0, (get(dict, "n") or 0) - 1 do
        local packed = k ~= slot and get(dict, slot_key(g, k))
        if packed and #packed == 4 * n then
            local counts = cast("const int32_t *", packed)
            for i = 0, n - 1 do g.others[i] = g.others[i] + counts[i] end
        end
    end
end

local function count(g, p, by)
    g.own[p.index] = max(0, g.own[p.index] + by)
    dict:safe_set(slot_key(g, slot), str(g.own, 4 * #g.peers), 86400)
end

local function fail(g, p)
    if g.single then return end
    local now = ngx.time()
    local fails = dict:incr(p.f, 1, 0) or 1
    dict:set(p.a, now)
    dict:set(p.c, now)
    if p.max_fails > 0 then
        p.eff = max(0, p.eff - floor(p.weight / p.max_fails))
        if fails >= p.max_fails then ngx.log(ngx.WARN, "trimtab: upstream ", g.name, " server ", p.name, " temporarily disabled") end
    end
    bump(g)
end

local function succeed(g, p)
    if p.fails > 0 and p.accessed < p.checked then
        dict:delete(p.f)
        p.fails = 0
        bump(g)
    end
end

-- Picking -------------------------------------------------------------------------------------------------------

local function usable(g, p, tried, now)
    if p.down or tried and tried[p] then return false end
    if p.fails > 0 and p.max_fails > 0 and p.fails >= p.max_fails and now - p.checked <= p.fail_timeout then return false end
    return p.max_conns == 0 or g.own[p.index] + g.others[p.index] < p.max_conns
end

local function round_robin(g, list, tried, now, level)
    local best, total = nil, 0
    for i = 1, #list do
        local p = list[i]
        if usable(g, p, tried, now) and (not level or (g.own[p.index] + g.others[p.index]) * level.weight == level.conns * p.weight) then
            p.current = p.current + p.eff
            total = total + p.eff
            if p.eff < p.weight then p.eff = p.eff + 1 end
            if not best or p.current > best.current then best = p end
        end
    end
    if best then best.current = best.current - total end
    return best
end

local level = { weight = 1, conns = 0 }
local function least_conn(g, list, tried, now)
    local best, many
    for i = 1, #list do
        local p = list[i]
        if usable(g, p, tried, now) then
            local conns = g.own[p.index] + g.others[p.index]
            local mine, theirs = best and conns * best.weight, best and level.conns * p.weight
            if not best or mine < theirs then
                best, level.conns, many = p, conns, false
            elseif mine == theirs then
                many = true
            end
        end
    end
    if not many then return best end
    level.weight = best.weight
    return round_robin(g, list, tried, now, level)
end

local function choose(g, list, tried, now)
    local pick = g.method == "least_conn" and least_conn or round_robin
    while true do
        local p = pick(g, list, tried, now)
        if not p or p.fails == 0 or now - p.checked <= p.fail_timeout then return p end
        -- A server that failed gets one request per fail_timeout until one succeeds: whoever is first.
        if dict:safe_add(p.t, 1, max(1, p.fail_timeout)) then
            dict:set(p.c, now)
            p.checked = now
            bump(g)
            return p
        end
        p.checked = now
        if p.max_fails == 0 or p.fails < p.max_fails then return p end
    end
end

local function request_key() return tonumber(cast("intptr_t", get_request())) end

local function nth_last(list, n)
    local words = {}
    for w in (list or ""):gmatch("[^,: ]+") do words[#words + 1] = w end
    return words[#words + 1 - n]
end

-- settle ends the attempt of entry e: its active count, and what it says about the server. n is the attempt's place in
-- NGINX's lists, 1 being the last. An attempt failed when NGINX made up the status itself, no header having come.
local function settle(e, n)
    local g, p = e.group, e.peer
    if e.counted then count(g, p, -1) end
    local times = ngx.var.upstream_header_time
    if not times then return end
    if n == 1 and byte(times, -1) ~= 45 then return succeed(g, p) end
    local status = nth_last(ngx.var.upstream_status, n)
    if nth_last(times, n) == "-" and (status == "502" or status == "504") then fail(g, p) end
end

local function balance(name)
    local g = groups[name]
    if not g or g.why then return end
    if not slot then start() end
    refresh(g)
    local r, tried = request_key(), nil
    local e = inflight[r]
    if e then
        local state = last_failure()
        if not state then -- an internal redirect to another upstream, or left over from a subrequest
            inflight[r] = nil
            settle(e, 2)
        else
            if e.counted then count(e.group, e.peer, -1) end
            if state == "failed" then fail(e.group, e.peer) else succeed(e.group, e.peer) end
            tried = e.tried or {}
            tried[e.peer] = true
            inflight[r] = nil
            refresh(g)
        end
    end
    if g.counted then active(g) end
    local now = ngx.time()
    local p = choose(g, g.main, tried, now) or #g.backup > 0 and choose(g, g.backup, tried, now)
    if not p then return ngx.exit(-3) end -- NGX_BUSY: "no live upstreams", as NGINX itself says
    local ok, err = set_peer(p.host, p.port)
    if not ok then error(err) end
    local counted = g.counted and not ngx.is_subrequest -- a subrequest never reaches the log phase
    if counted then count(g, p, 1) end
    inflight[r] = { group = g, peer = p, tried = tried, counted = counted }
end

-- balance runs in balancer_by_lua of the upstream.
function M.balance(name)
    local ok, err = pcall(balance, name)
    if not ok then ngx.log(ngx.ERR, "trimtab: ", err, ": left to NGINX's own round robin") end
end

-- done runs in log_by_lua of every request.
function M.done()
    local r = request_key()
    local e = inflight[r]
    if not e then return end
    inflight[r] = nil
    local ok, err = pcall(settle, e, 1)
    if not ok then ngx.log(ngx.ERR, "trimtab: ", err) end
end

-- setting returns weight and down of a server as they are in force now; nil when the group is not balanced here.
function M.setting(name, server)
    local g = groups[name]
    if not g or g.why then return nil end
    if not slot then start() end
    refresh(g)
    local p = g.by_name[server]
    if p then return p.weight, p.down end
end

-- view returns the group with this moment's state taken over; for control.lua.
function M.view(g)
    if not slot then start() end
    if not g.why then
        refresh(g)
        g.tick = -1
        active(g)
    end
    return dict, slot
end

return M
