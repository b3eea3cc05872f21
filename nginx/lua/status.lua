-- Part of Trimtab.
-- The status page of nginx-module-vts, counted and served by NGINX's Lua module: for systems that do not package the
-- module itself. Counters live in a shared dictionary, survive reloads and never leave it.
--
-- Every worker adds to tables of its own and passes the sums on to the dictionary twenty times a second: that costs a
-- request next to nothing. The page is thus up to FLUSH_SECONDS behind, and a worker that is killed takes as much along.

local ffi = require "ffi"
local ngx = ngx
local now, update_time = ngx.now, ngx.update_time
local floor, tonumber = math.floor, tonumber

local FLUSH_SECONDS = 0.05
local NOGROUP = "::nogroups"
local VERSION = "trimtab-lua-1"

-- Places of the counters in a cell; the two histograms follow, each with one count per bound and one for the rest.
local REQUESTS, IN, OUT, CLASS, REQUEST_MS, RESPONSE_MS, HISTOGRAMS = 1, 2, 3, 3, 9, 10, 10

local M = {}
local dict, dict_name, bounds, n_bounds, running
local load_ms             -- when this configuration was loaded, ms
local broken              -- why the shim cannot work on this NGINX, or nil
local fields, n_fields    -- names of the counters, in the order of a cell

-- Which bucket a time falls into, for the times that nearly all requests have, and which class a status is of.
local SLOTS, STATUSES = 1000, 1000
local slot_of, class_of = ffi.new("int32_t[?]", SLOTS + 1), ffi.new("int32_t[?]", STATUSES)

local function slow_slot(ms)
    for i = 1, n_bounds do
        if ms <= bounds[i] then return i end
    end
    return n_bounds + 1
end

-- setup runs in init_by_lua: in the master, at every load of a configuration, before it is known whether NGINX will
-- run it. It only prepares what the workers inherit, which exist only if it does; so the page shows its loadMsec only
-- if this configuration is in force. cfg: dict (name of the lua_shared_dict), buckets_ms (rising bounds, may be empty),
-- running (the module running.lua).
function M.setup(cfg)
    update_time()
    load_ms = floor(now() * 1000 + 0.5)
    dict_name, dict, running = cfg.dict, ngx.shared[cfg.dict], cfg.running
    bounds = cfg.buckets_ms or {}
    n_bounds = #bounds
    if not dict then error("trimtab status: no lua_shared_dict " .. tostring(cfg.dict)) end
    broken = running.check()
    if broken then ngx.log(ngx.ERR, "trimtab status: ", broken) end
    fields = { "n", "in", "out", "1xx", "2xx", "3xx", "4xx", "5xx", "qms", "pms" }
    local set = table.concat(bounds, ",")
    for _, kind in ipairs { "q", "p" } do
        for i = 1, n_bounds + 1 do fields[#fields + 1] = kind .. ":" .. set .. ":" .. i end
    end
    n_fields = #fields
    for ms = 0, SLOTS do slot_of[ms] = slow_slot(ms) end
    for status = 0, STATUSES - 1 do
        local class = floor(status / 100)
        class_of[status] = (class < 1 or class > 5) and 5 or class -- no answer at all counts as 5xx
    end
    dict:safe_add("dropped", 0)
    dict:safe_add("begun", 0)
    dict:safe_add("ended", 0)
    dict:safe_add("zones", 0)
    return M
end

-- One cell per server zone and per server of a group: {counts, keys = names in the dictionary}. The counts are numbers of C,
-- which a request's code reaches without checks; before them stands whether there is anything to pass on.
local CLEAN, DIRTY = 0, 1
local cells = {}
local dirty, n_dirty = {}, 0
local dropped = 0

-- reserve makes room in the dictionary for all counters of a cell, or for none: half a cell would be a lie.
local function reserve(keys)
    for i = 1, n_fields do
        local ok, err = dict:safe_add(keys[i], 0)
        if not ok and err ~= "exists" then
            for j = 1, i - 1 do
                if dict:get(keys[j]) == 0 then dict:delete(keys[j]) end
            end
            return false
        end
    end
    return true
end

local function new_cell(kind, name)
    local keys = {}
    for i = 1, n_fields do keys[i] = kind .. name .. "\0" .. fields[i] end
    local cell = { keys = keys, counts = ffi.new("double[?]", n_fields + 1), attempts = kind == "u" and 1 or 0 }
    if not reserve(keys) then cell.full = true end
    if kind == "s" and not cell.full and dict:safe_add("zone\0" .. name, true) then
        dict:safe_set("zone" .. dict:incr("zones", 1, 0), name)
    end
    return cell
end

local server_cells, cells_by_key = {}, {}

local function server_cell(key)
    local name = ngx.var.server_name
    local c = server_cells[name] or new_cell("s", name)
    server_cells[name], cells_by_key[key] = c, c
    return c
end

local function peer_cell(group, server)
    local name = group .. "\0" .. server
    local c = cells[name]
    if not c then
        c = new_cell("u", name)
        cells[name] = c
    end
    return c
end

local function flush()
    if n_dirty == 0 and dropped == 0 then return end
    dict:incr("begun", 1, 0)
    for i = 1, n_dirty do
        local cell = dirty[i]
        local keys, counts = cell.keys, cell.counts
        for j = 1, n_fields do
            local v = counts[j]
            if v ~= 0 then
                if not dict:incr(keys[j], v) then dict:safe_set(keys[j], v) end
                counts[j] = 0
            end
        end
        counts[0] = CLEAN
        dirty[i] = nil
    end
    n_dirty = 0
    if dropped > 0 then
        dict:incr("dropped", dropped, 0)
        dropped = 0
    end
    dict:incr("ended", 1, 0)
end

local ending = false

local function tick(premature)
    if premature then ending = true end
    flush()
end

-- touch notes that a cell has something to pass on. It returns false when there is no room for its counts.
local function touch(cell)
    if cell.full then
        dropped = dropped + cell.attempts
        return false
    end
    cell.counts[0] = DIRTY
    n_dirty = n_dirty + 1
    dirty[n_dirty] = cell
    return true
end

-- What this worker knows of its configuration, read at its first request.
local groups, loose, by_pointer, known_group, only_group
local started = false
local count -- what counter returned

-- by_name finds the cell of an attempt on a server that no configured peer's record belongs to, such as one that a
-- balancer_by_lua chose: by the name of its group if that is known, else by its address.
local function by_name(name)
    local group = ngx.var.trimtab_group -- a map of the snippet: $proxy_host itself cannot be asked for by name
    if not (group and known_group[group]) then group = known_group[name] and name or only_group[name] or NOGROUP end
    return peer_cell(group, name)
end

-- counter returns the function that counts the current request. What it needs stands around it and never changes, so that its
-- machine code holds it as constants.
local function counter(from, by_pointer, n_bounds)
    local request, server_key, bytes_sent, request_length = from.request, from.server_key, from.bytes_sent, from.request_length
    local status_of, start_seconds, attempts, pointer_of, peer_name = from.status, from.start_seconds, from.attempts, from.pointer, from.peer_name
    local of_request, of_response = HISTOGRAMS, HISTOGRAMS + n_bounds + 1

    local function add(cell, status, bytes_in, bytes_out, request_ms, response_ms)
        local counts = cell.counts
        if counts[0] ~= DIRTY and not touch(cell) then return end
        counts[REQUESTS] = counts[REQUESTS] + 1
        counts[IN] = counts[IN] + bytes_in
        counts[OUT] = counts[OUT] + bytes_out
        local at = CLASS + (status < STATUSES and class_of[status] or 5)
        counts[at] = counts[at] + 1
        counts[REQUEST_MS] = counts[REQUEST_MS] + request_ms
        counts[RESPONSE_MS] = counts[RESPONSE_MS] + response_ms
        at = of_request + (request_ms <= SLOTS and slot_of[request_ms] or slow_slot(request_ms))
        counts[at] = counts[at] + 1
        at = of_response + (response_ms <= SLOTS and slot_of[response_ms] or slow_slot(response_ms))
        counts[at] = counts[at] + 1
    end

    -- charge counts one attempt. The last one is the one that answered the client: it is charged the client's bytes and the
    -- whole request's time, as the module does. An attempt that was passed on is charged its own time and its own status,
    -- and no bytes, so that the sums over all servers are what the clients saw.
    local function charge(state, last, status, bytes_in, bytes_out, request_ms)
        local pointer = pointer_of(state)
        if not pointer then return end
        local cell = by_pointer[pointer] or by_name(peer_name(state))
        local response_ms = tonumber(state.response_time)
        if response_ms > 1e15 then response_ms = 0 end -- -1: it never began
        local got = tonumber(state.status)
        if last then
            if got == 0 then got, response_ms = status, 0 end -- the client went away first: no response, no time of it
            add(cell, got, bytes_in, bytes_out, request_ms, response_ms)
        else
            add(cell, got, 0, 0, response_ms, response_ms)
        end
    end

    return function()
        local r = request()
        local status = status_of(r)
        local bytes_in, bytes_out = request_length(r), bytes_sent(r)
        local request_ms = floor((now() - start_seconds(r)) * 1000 + 0.5)
        if request_ms < 0 then request_ms = 0 end
        local key = server_key(r)
        add(cells_by_key[key] or server_cell(key), status, bytes_in, bytes_out, request_ms, request_ms)
        local states, n = attempts(r)
        if n == 1 then
            charge(states[0], true, status, bytes_in, bytes_out, request_ms)
        else
            for i = 0, n - 1 do charge(states[i], i == n - 1, status, bytes_in, bytes_out, request_ms) end
        end
    end
end

local function start()
    started = true
    groups, loose, by_pointer = running.upstreams(NOGROUP)
    known_group, only_group = {}, {}
    for _, g in ipairs(groups) do
        known_group[g.name] = true
        for _, s in ipairs(g.servers) do
            local before = only_group[s.server]
            only_group[s.server] = (before == nil or before == g.name) and g.name
        end
    end
    for pointer, where in pairs(by_pointer) do by_pointer[pointer] = peer_cell(where[1], where[2]) end
    count = counter(running, by_pointer, n_bounds)
    local ok, err = ngx.timer.every(FLUSH_SECONDS, tick)
    if not ok then error("trimtab status: no timer: " .. tostring(err)) end
end

-- log runs in log_by_lua, once per request.
function M.log()
    if broken then return end
    if not started then start() end
    count()
    if ending then flush() end -- no timer comes any more
end

-- The page.

local function number(n) return string.format("%.0f", n) end

local function quoted(s)
    return '"' .. s:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

local function read(kind, name)
    local cell = {}
    for i = 1, n_fields do cell[i] = dict:get(kind .. name .. "\0" .. fields[i]) or 0 end
    return cell
end

local function histogram(cell, from)
    if n_bounds == 0 then return '{"msecs":[],"counters":[]}' end
    local counts, sum = {}, 0
    for i = 1, n_bounds do
        sum = sum + cell[from + i]
        counts[i] = number(sum)
    end
    return '{"msecs":[' .. table.concat(bounds, ",") .. '],"counters":[' .. table.concat(counts, ",") .. ']}'
end

local RING = '{"times":[],"msecs":[]}'
local CACHE = { "miss", "bypass", "expired", "stale", "updating", "revalidated", "hit", "scarce" }
local NO_CACHE = ',"' .. table.concat(CACHE, '":0,"') .. '":0'

local function counters(cell, cache)
    local classes = {}
    for i = 1, 5 do classes[i] = '"' .. i .. 'xx":' .. number(cell[CLASS + i]) end
    return '"requestCounter":' .. number(cell[REQUESTS]) .. ',"inBytes":' .. number(cell[IN]) .. ',"outBytes":' .. number(cell[OUT]) ..
        ',"responses":{' .. table.concat(classes, ",") .. cache .. '},"requestMsecCounter":' .. number(cell[REQUEST_MS]) ..
        ',"requestMsec":0,"requestMsecs":' .. RING
end

-- Counters here are whole up to 2^53 and never wrap: the counts of wraps are constant.
local function over(cache, last)
    return '"overCounts":{"maxIntegerSize":9007199254740992,"requestCounter":0,"inBytes":0,"outBytes":0,' ..
        '"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":0' .. cache .. ',"requestMsecCounter":0' .. last .. '}'
end

local function server_zone(name, cell, buckets)
    return quoted(name) .. ":{" .. counters(cell, NO_CACHE) .. ',"requestBuckets":' .. buckets .. "," .. over(NO_CACHE, "") .. "}"
end

local function peer(s, cell)
    local used = cell[REQUESTS] > 0
    return '{"server":' .. quoted(s.server) .. "," .. counters(cell, "") ..
        ',"requestBuckets":' .. histogram(cell, HISTOGRAMS) ..
        ',"responseMsecCounter":' .. number(cell[RESPONSE_MS]) .. ',"responseMsec":0,"responseMsecs":' .. RING ..
        ',"responseBuckets":' .. histogram(cell, HISTOGRAMS + n_bounds + 1) ..
        ',"weight":' .. s.weight .. ',"maxFails":' .. s.max_fails .. ',"failTimeout":' .. s.fail_timeout ..
        ',"backup":' .. tostring(s.backup) .. ',"down":' .. tostring(s.down) .. "," .. over("", ',"responseMsecCounter":0') .. "}", used
end

local function server_zones()
    local out, total = {}, {}
    for i = 1, n_fields do total[i] = 0 end
    for i = 1, dict:get("zones") or 0 do
        local name = dict:get("zone" .. i)
        if name then
            local cell = read("s", name)
            for j = 1, n_fields do total[j] = total[j] + cell[j] end
            out[#out + 1] = server_zone(name, cell, histogram(cell, HISTOGRAMS))
        end
    end
    out[#out + 1] = server_zone("*", total, '{"msecs":[],"counters":[]}')
    return table.concat(out, ",")
end

local function upstream_zones()
    local out = {}
    for _, g in ipairs(groups) do
        local peers = {}
        for i, s in ipairs(g.servers) do
            local weight, down = running.in_force(s)
            local shown = setmetatable({ weight = weight, down = down }, { __index = s })
            peers[i] = peer(shown, read("u", g.name .. "\0" .. s.server))
        end
        -- Requests that found no live server are charged to the group itself, as the module does.
        local self, used = peer({ server = g.name, weight = 0, max_fails = 0, fail_timeout = 0, backup = false, down = false },
            read("u", g.name .. "\0" .. g.name))
        if used then peers[#peers + 1] = self end
        out[#out + 1] = quoted(g.name) .. ":[" .. table.concat(peers, ",") .. "]"
    end
    local peers, seen = {}, {}
    for _, s in ipairs(loose) do
        if not seen[s.server] then
            seen[s.server] = true
            local text, used = peer({ server = s.server, weight = 0, max_fails = 0, fail_timeout = 0, backup = false, down = false },
                read("u", NOGROUP .. "\0" .. s.server))
            if used then peers[#peers + 1] = text end
        end
    end
    if #peers > 0 then out[#out + 1] = quoted(NOGROUP) .. ":[" .. table.concat(peers, ",") .. "]" end
    return table.concat(out, ",")
end

local function render()
    local active, reading, writing, waiting, accepted, handled, requests = running.connections()
    local capacity, free = dict:capacity(), dict:free_space()
    update_time()
    return '{"hostName":' .. quoted(ngx.var.hostname) .. ',"moduleVersion":"' .. VERSION .. '","nginxVersion":"' .. ngx.var.nginx_version ..
        '","loadMsec":' .. number(load_ms) .. ',"nowMsec":' .. number(now() * 1000) ..
        ',"connections":{"active":' .. active .. ',"reading":' .. reading .. ',"writing":' .. writing .. ',"waiting":' .. waiting ..
        ',"accepted":' .. number(accepted) .. ',"handled":' .. number(handled) .. ',"requests":' .. number(requests) .. "}" ..
        ',"sharedZones":{"name":' .. quoted(dict_name) .. ',"maxSize":' .. number(capacity) .. ',"usedSize":' .. number(capacity - free) ..
        ',"usedNode":' .. number(dict:get("zones") or 0) .. ',"freeSize":' .. number(free) .. ',"dropped":' .. number(dict:get("dropped") or 0) .. "}" ..
        ',"serverZones":{' .. server_zones() .. '},"upstreamZones":{' .. upstream_zones() .. "}}"
end

-- page runs in content_by_lua. A page during whose making a worker passed on its sums is made anew, so that the counters
-- on it belong together; after three of those it is served as it is.
function M.page()
    if broken then
        ngx.status = 501
        ngx.header["Content-Type"] = "text/plain"
        return ngx.print("trimtab status: ", broken, "\n")
    end
    if not started then start() end
    flush()
    local body
    for _ = 1, 3 do
        local ended = dict:get("ended")
        local begun = dict:get("begun")
        body = render()
        if begun == ended and dict:get("begun") == begun then break end
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.header["Cache-Control"] = "no-store"
    return ngx.print(body)
end

return M
