-- Part of Trimtab.
-- The status page of nginx-module-vts, counted and served by NGINX's Lua module: for systems that do not package the
-- module itself. Counters live in a shared dictionary, survive reloads and never leave it.
--
-- Every worker adds to tables of its own and passes the sums on to the dictionary twenty times a second: that costs a
-- request next to nothing. The page is thus up to FLUSH_SECONDS behind, and a worker that is killed takes as much
-- along.

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
local dict, dict_name, bounds, n_bounds, running, variables, render
local load_ms             -- when this configuration was loaded, ms
local closed              -- why memory is not read on this NGINX, or nil
local fields, n_fields    -- names of the counters, in the order of a cell

-- Which bucket a time falls into, for the times that nearly all requests have, and which class a status is of.
local SLOTS, STATUSES = 1000, 1000
local slot_of = has_ffi and ffi.new("int32_t[?]", SLOTS + 1) or {}
local class_of = has_ffi and ffi.new("int32_t[?]", STATUSES) or {}

-- new_counts returns n counts and the mark before them: numbers of C where there are any.
local function new_counts(n)
    if has_ffi then return ffi.new("double[?]", n + 1) end
    local counts = {}
    for i = 0, n do counts[i] = 0 end
    return counts
end

local function slow_slot(ms)
    for i = 1, n_bounds do
        if ms <= bounds[i] then return i end
    end
    return n_bounds + 1
end

-- setup runs in init_by_lua: in the master, at every load of a configuration, before it is known whether NGINX will
-- run it. It only prepares what the workers inherit, which exist only if it does; so the page shows its loadMsec only
-- if this configuration is in force. cfg: dict (name of the lua_shared_dict), buckets_ms (rising bounds, may be empty),
-- running, variables, page (the modules of those names), memory (false: leave NGINX's memory alone).
function M.setup(cfg)
    update_time()
    load_ms = floor(now() * 1000 + 0.5)
    dict_name, dict, running, variables = cfg.dict, ngx.shared[cfg.dict], cfg.running, cfg.variables
    bounds = cfg.buckets_ms or {}
    n_bounds = #bounds
    if not dict then error("trimtab status: no lua_shared_dict " .. tostring(cfg.dict)) end
    if cfg.memory == false then closed = "it was installed so" else closed = running.check() end
    if closed then ngx.log(ngx.NOTICE, "trimtab status: weights are not shown: ", closed) end
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
    dict:safe_add("peers", 0)
    render = cfg.page.new { dict = dict, dict_name = dict_name, version = VERSION, nogroup = NOGROUP, fields = fields,
        bounds = bounds, load_ms = load_ms, class = CLASS, histograms = HISTOGRAMS, requests = REQUESTS,
        bytes_in = IN, bytes_out = OUT, request_ms = REQUEST_MS,
        response_ms = RESPONSE_MS, running = running, variables = variables }
    return M
end

-- One cell per server zone and per server of a group: {counts, keys = names in the dictionary}. The counts are numbers
-- of C, which a request's code reaches without checks; before them stands whether there is anything to pass on.
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
    local cell = { keys = keys, counts = new_counts(n_fields), attempts = kind == "u" and 1 or 0 }
    if not reserve(keys) then cell.full = true end
    if kind == "s" and not cell.full and dict:safe_add("zone\0" .. name, true) then
        dict:safe_set("zone" .. dict:incr("zones", 1, 0), name)
    end
    -- A server that only its requests made known: without memory, and with a name that was resolved, the page has no
    -- other list.
    if kind == "u" and not cell.full and dict:safe_add("peer\0" .. name, true) then
        dict:safe_set("peer" .. dict:incr("peers", 1, 0), name)
    end
    return cell
end

local server_cells, cells_by_key = {}, {}

local function zone_cell(name)
    local c = server_cells[name] or new_cell("s", name)
    server_cells[name] = c
    return c
end

local function server_cell(key)
    local c = zone_cell(ngx.var.server_name)
    cells_by_key[key] = c
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
local groups, loose, by_pointer, known_group, only_group, group_of_conf
local started = false
local count -- what counter returned

-- by_name finds the cell of an attempt on a server that no configured peer's record belongs to, such as one that a
-- balancer_by_lua chose or that was resolved from a name: by the block that the request went to where its record says
-- that, else by the name that proxy_pass gives if that is a group, else by the server's address.
local cells_by_conf = {}

local function by_name(name, conf)
    local of_conf = cells_by_conf[conf]
    local cell = of_conf and of_conf[name]
    if cell then return cell end
    -- A map of the snippet: $proxy_host itself cannot be asked for by name.
    local group = group_of_conf[conf] or ngx.var.trimtab_group
    if not (group and known_group[group]) then group = known_group[name] and name or only_group[name] or NOGROUP end
    cell = peer_cell(group, name)
    if group_of_conf[conf] then
        if not of_conf then cells_by_conf[conf] = { [name] = cell } else of_conf[name] = cell end
    end
    return cell
end

-- counter returns the function that counts the current request. What it needs stands around it and never changes, so
-- that its machine code holds it as constants.
local function counter(from, by_pointer, n_bounds)
    local request, server_key, bytes_sent, request_length = from.request, from.server_key, from.bytes_sent,
        from.request_length
    local status_of, start_seconds, attempts, pointer_of, peer_name = from.status, from.start_seconds, from.attempts,
        from.pointer, from.peer_name
    local state_of, conf_of = from.state, from.conf_of
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

    -- charge counts one attempt. The last one is the one that answered the client: it is charged the client's bytes and
    -- the whole request's time, as the module does. An attempt that was passed on is charged its own time and its own
    -- status, and no bytes, so that the sums over all servers are what the clients saw.
    local function charge(state, last, conf, status, bytes_in, bytes_out, request_ms)
        local pointer = pointer_of(state)
        if not pointer then return end
        local cell = by_pointer[pointer] or by_name(peer_name(state), conf)
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
        local states, n, size = attempts(r)
        if n == 0 then return end
        local conf = conf_of(r)
        if n == 1 then return charge(state_of(states, 0, size), true, conf, status, bytes_in, bytes_out, request_ms) end
        -- The record says where the request went last: an attempt of before an internal redirect may have been of
        -- another group.
        local first = 0
        for i = 0, n - 1 do
            if not pointer_of(state_of(states, i, size)) then first = i + 1 end
        end
        for i = 0, n - 1 do
            charge(state_of(states, i, size), i == n - 1, i >= first and conf or 0, status, bytes_in, bytes_out,
                request_ms)
        end
    end
end

-- counter_of_variables is counter where memory is closed.
local function counter_of_variables()
    local of_request, of_response = HISTOGRAMS, HISTOGRAMS + n_bounds + 1
    local function add(cell, status, bytes_in, bytes_out, request_ms, response_ms)
        local counts = cell.counts
        if counts[0] ~= DIRTY and not touch(cell) then return end
        for at, v in pairs { [REQUESTS] = 1, [IN] = bytes_in, [OUT] = bytes_out, [REQUEST_MS] = request_ms,
            [RESPONSE_MS] = response_ms,
            [CLASS + (status < STATUSES and class_of[status] or 5)] = 1, [of_request + slow_slot(request_ms)] = 1,
            [of_response + slow_slot(response_ms)] = 1 } do
            counts[at] = counts[at] + v
        end
    end
    local status, bytes_in, bytes_out, request_ms
    local function charge(group, server, last, got, response_ms)
        if got == 0 and last then got = status end -- the client went away first
        add(peer_cell(group or NOGROUP, server), got, last and bytes_in or 0, last and bytes_out or 0,
            last and request_ms or response_ms, response_ms)
    end
    return function()
        local name
        status, bytes_in, bytes_out, request_ms, name = variables.request()
        add(zone_cell(name), status, bytes_in, bytes_out, request_ms, request_ms)
        variables.attempts(charge)
    end
end

-- look reads the groups of the configuration out of memory. What does not fit the known layout closes memory for this
-- worker.
local function look()
    local ok, why = pcall(function()
        groups, loose, by_pointer = running.upstreams(NOGROUP)
        for _, g in ipairs(groups) do
            local _, wrong = running.current(g)
            if wrong then error("upstream " .. g.name .. ": " .. wrong, 0) end
        end
    end)
    if not ok then
        closed = tostring(why)
        ngx.log(ngx.WARN, "trimtab status: weights are not shown: ", closed)
    end
end

local function start()
    started = true
    if not closed then look() end
    if closed then
        count = counter_of_variables()
    else
        known_group, only_group, group_of_conf = {}, {}, {}
        for _, g in ipairs(groups) do
            known_group[g.name], group_of_conf[running.conf_key(g)] = true, g.name
            for _, s in ipairs(g.servers) do
                local before = only_group[s.server]
                only_group[s.server] = (before == nil or before == g.name) and g.name
            end
        end
        running.learn_confs(group_of_conf)
        for pointer, where in pairs(by_pointer) do by_pointer[pointer] = peer_cell(where[1], where[2]) end
        count = counter(running, by_pointer, n_bounds)
    end
    local ok, err = ngx.timer.every(FLUSH_SECONDS, tick)
    if not ok then error("trimtab status: no timer: " .. tostring(err)) end
end

-- log runs in log_by_lua, once per request.
function M.log()
    if not started then start() end
    count()
    if ending then flush() end -- no timer comes any more
end

-- page runs in content_by_lua. A page during whose making a worker passed on its sums is made anew, so that the
-- counters on it belong together; after three of those it is served as it is.
function M.page()
    if not started then start() end
    flush()
    local body
    for _ = 1, 3 do
        local ended = dict:get("ended")
        local begun = dict:get("begun")
        body = render(closed, groups, loose)
        if begun == ended and dict:get("begun") == begun then break end
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.header["Cache-Control"] = "no-store"
    ngx.header["Trimtab-Weights"] = closed and "null: " .. closed:gsub("%c", " ") or "in force"
    return ngx.print(body)
end

return M
