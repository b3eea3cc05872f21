-- Trimtab's live balancer: NGINX's smooth weighted round robin and least_conn, with weights that live in a shared
-- dictionary and change without a reload, and passive failure marking as NGINX does it.
--
-- Whenever something is not as it should be (a group that could not be read, an error in here), the pick is left to
-- NGINX's own round robin with the weights of the file: a request is never refused because of this code.
--
-- Keys of the dictionary, g being a group and p a server:
--   v:g        version, incremented by every change of weights or health; workers look once per millisecond of NGINX's clock
--   w:g        the weights set: the signature of the file's servers, then "server weight up|down" lines
--   f:g p, a:g p, c:g p   failures, time of the last one, time of the last check, s
--   t:g p      who may probe a failed server, expires after its fail_timeout
--   n, s:k     number of worker slots; owner of slot k as "pid:start"
--   k:sig      active requests per server of the worker in slot k, as packed int32
--
-- The usual case (nothing failed, nothing bounded) is one straight line without loops, which LuaJIT compiles as a whole; loops and
-- what happens rarely stand in functions of their own.
local ffi = require "ffi"
local ngx_balancer = require "ngx.balancer"
local base = require "resty.core.base"

local get_request, last_failure = base.get_request, ngx_balancer.get_last_failure
local ngx, tonumber, cast, str, floor, C = ngx, tonumber, ffi.cast, ffi.string, math.floor, ffi.C
local errmsg = base.get_errmsg_ptr()
local pcall, ipairs, max = pcall, ipairs, math.max

local M = { groups = {}, order = {} }
local groups = M.groups
local dict, slot, get, ahead, exiting
local inflight, tried_by, uncounted = {}, {}, {} -- by address of the request: server it was last sent to; those tried before; true

-- Master --------------------------------------------------------------------------------------------------------

-- init runs in init_by_lua. opts: dict, dir (this file's folder), prefix, token_file, groups = { {name, file, own} }.
function M.init(opts)
    M.opts = opts
    local peers = dofile(opts.dir .. "/peers.lua")
    M.control = dofile(opts.dir .. "/control.lua").new(M)
    M.slots = dofile(opts.dir .. "/slots.lua")
    ahead = dofile(opts.dir .. "/ahead.lua")
    local running = dofile(opts.dir .. "/running.lua")
    if not running.check() then M.running = running end
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
        p.group, p.index, p.weight, p.down, p.eff, p.current = g, i - 1, p.base, p.base_down, p.base, 0
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
    g.own, g.others, g.turn, g.published = ffi.new("int32_t[?]", n), ffi.new("int32_t[?]", n), -1, -1
    g.signature = g.signature or ""
    g.suffix = ":" .. g.name .. ":" .. ngx.md5(g.signature)
    g.slot_keys = {}
    groups[g.name], M.order[#M.order + 1] = g, g
end

local function slot_key(g, k)
    local key = g.slot_keys[k]
    if not key then key = k .. g.suffix; g.slot_keys[k] = key end
    return key
end

local function bury(k)
    for _, g in ipairs(M.order) do dict:delete(slot_key(g, k)) end
end

local function sweep(premature)
    if not premature then M.slots.sweep(dict, slot, bury) end
end

local function start()
    dict = ngx.shared[M.opts.dict]
    get = dict.get
    for _, g in ipairs(M.order) do dict:safe_add(g.v, 0) end
    slot = M.slots.claim(dict, bury)
    if not slot then error("no free worker slot") end
    ngx.timer.every(5, sweep)
    for _, g in ipairs(M.order) do
        if g.counted then
            ngx.timer.every(0.05, M.publish_rest)
            break
        end
    end
end

-- State of a group ----------------------------------------------------------------------------------------------

-- refresh takes over what has changed in the dictionary since this worker looked last.
local function refresh(g, version)
    g.version = version
    local set, wanted = get(dict, g.w), {}
    if set and set:match("^[^\n]*") == g.signature then
        for name, weight, state in set:gmatch("\n(%S+) (%d+) (%a+)") do wanted[name] = { tonumber(weight), state == "down" } end
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
        for _, p in ipairs(g.peers) do p.eff, p.current = p.weight, 0 end
    end
    if g.method == "round_robin" then
        g.sequence = ahead.sequence(g)
        -- Workers that began at the same place would all send their first requests to the same servers.
        g.at = g.sequence and math.random(#g.sequence) or 0
    else
        g.pick = ahead.least_conn(g)
    end
end

local function current(g)
    local version = get(dict, g.v)
    if version ~= g.version then refresh(g, version) end
end

function M.bump(g)
    dict:incr(g.v, 1, 0)
    g.turn = -1
end
local bump = M.bump

local function active(g)
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

-- look takes over what the other workers have done, once per millisecond of NGINX's cached clock.
local function look(g, turn)
    g.turn = turn
    current(g)
    if g.counted then active(g) end
end

-- publish shows this worker's active counts to the others.
local function publish(g)
    g.dirty = false
    dict:safe_set(slot_key(g, slot), str(g.own, 4 * #g.peers), 86400)
end

-- count publishes once per millisecond of NGINX's cached clock: what else happens in it is shown with the next request, or by the
-- timer, whichever is first; by a worker that is ending, at once.
local function count(g, p, by)
    g.own[p.index] = max(0, g.own[p.index] + by)
    local turn = C.ngx_http_lua_ffi_now()
    if turn ~= g.published or exiting then
        g.published = turn
        publish(g)
    else
        g.dirty = true
    end
end

-- publish_rest runs as a timer, for the last time when the worker begins to end.
function M.publish_rest(premature)
    exiting = premature
    for _, g in ipairs(M.order) do
        if g.dirty then publish(g) end
    end
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

local function request_key()
    local key = tonumber(cast("intptr_t", get_request()))
    return key
end

local function nth_last(list, n)
    local words = {}
    for w in (list or ""):gmatch("[^,: ]+") do words[#words + 1] = w end
    return words[#words + 1 - n]
end

-- failed reports whether an attempt of the current request failed: NGINX made up the status itself, no header having come.
-- n is the attempt's place from the end, 1 being the last. nil when there was no attempt.
local function failed(n)
    local status, unanswered
    local running = M.running
    if running then
        local states, count = running.attempts(running.request())
        if not states or count < n then return nil end
        local state = states[count - n]
        if tonumber(state.header_time) < 1e15 then return false end -- else -1, as an unsigned number
        status = tonumber(state.status)
    else
        local times = nth_last(ngx.var.upstream_header_time, n)
        if not times then return nil end
        if times ~= "-" then return false end
        status = tonumber(nth_last(ngx.var.upstream_status, n))
    end
    if status == 502 or status == 504 then return true end
    return nil -- the client went away, or the like: says nothing about the server
end

-- forget ends what is known of a request's last attempt.
local function forget(r, p)
    inflight[r] = nil
    if p.group.counted then
        if uncounted[r] then uncounted[r] = nil else count(p.group, p, -1) end
    end
end

-- again handles a request that comes back: for its next try, or by an internal redirect, or an entry that a subrequest left.
-- Returns the servers tried before.
local function again(r, p)
    local state = last_failure()
    forget(r, p)
    local tried = tried_by[r]
    tried_by[r] = nil
    if not state then
        -- A redirect to another upstream adds a mark of its own to NGINX's list, which has no time either.
        local n = M.running and 3 or 2
        if failed(n) then fail(p.group, p) end
        return nil
    end
    if state == "failed" then fail(p.group, p) else succeed(p.group, p) end
    tried = tried or {}
    tried[p] = true
    return tried
end

-- search finds a server when looking is needed: least_conn, after failures, with bounds. Returns nil when none is left.
local function search(g, r, tried)
    if tried then tried_by[r] = tried end
    local now = ngx.time()
    local p = choose(g, g.main, tried, now)
    if not p and #g.backup > 0 then p = choose(g, g.backup, tried, now) end
    if p and g.counted then
        if ngx.is_subrequest then uncounted[r] = true else count(g, p, 1) end -- a subrequest never reaches the log phase
    end
    return p
end

local function balance(name)
    local g = groups[name]
    if not g or g.why then return end
    if not slot then start() end
    local request = get_request()
    local r, tried = tonumber(cast("intptr_t", request)), nil
    local p = inflight[r]
    if p then tried = again(r, p) end
    local turn = C.ngx_http_lua_ffi_now()
    if turn ~= g.turn then look(g, turn) end
    local list, pick = g.sequence, g.pick
    if list and not tried then
        local at = g.at
        p = list[at]
        g.at = at < #list and at + 1 or 1
    elseif pick and not tried then
        p = pick()
        if ngx.is_subrequest then uncounted[r] = true else count(g, p, 1) end
    else
        p = search(g, r, tried)
        if not p then return ngx.exit(-3) end -- NGX_BUSY: "no live upstreams", as NGINX itself says
    end
    inflight[r] = p
    -- What set_current_peer of ngx.balancer does, without looking for the request once more.
    if C.ngx_http_lua_ffi_balancer_set_current_peer(request, p.host, #p.host, p.port, errmsg) ~= 0 then
        forget(r, p)
        error(str(errmsg[0]))
    end
end

-- balance runs in balancer_by_lua of the upstream.
function M.balance(name)
    local ok, err = pcall(balance, name)
    if not ok then ngx.log(ngx.ERR, "trimtab: ", err, ": left to NGINX's own round robin") end
end

local function done()
    local r = request_key()
    local p = inflight[r]
    if not p then return end
    forget(r, p)
    tried_by[r] = nil
    local bad = failed(1)
    if bad then
        fail(p.group, p)
    elseif bad == false and p.fails > 0 then
        succeed(p.group, p)
    end
end

-- done runs in log_by_lua of every request.
function M.done()
    local ok, err = pcall(done)
    if not ok then
        M.running = nil -- from now on by way of NGINX's variables
        ngx.log(ngx.ERR, "trimtab: ", err)
    end
end

-- setting returns weight and down of a server as they are in force now; nil when the group is not balanced here.
function M.setting(name, server)
    local g = groups[name]
    if not g or g.why then return nil end
    if not slot then start() end
    current(g)
    local p = g.by_name[server]
    if p then return p.weight, p.down end
end

-- view returns the group with this moment's state taken over; for control.lua.
function M.view(g)
    if not slot then start() end
    if not g.why then
        current(g)
        active(g)
    end
    return dict, slot
end

return M
