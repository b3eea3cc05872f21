-- Part of Trimtab.
-- Live weights: NGINX balances, and this keeps the weights that it goes by. They are set in its memory (weights.lua) by
-- the control call (control.lua), and kept in a shared dictionary: a reload begins with the weights of the file, so
-- every worker puts the kept ones in force again before it takes its first request.
--
-- Keys of the dictionary, g being a group and n the number of a configuration:
--   w:g     the weights kept: the signature of the file's servers, then "server weight up|down" lines
--   m:n:g   the same of what was last written into the memory of configuration n; missing: nothing, the file's are in
--           force
--   v:g     counts the changes of w:g and m:n:g
--   loads   numbers the configurations that were loaded
--   newest  the newest of them that has workers

local ngx, pcall, ipairs, pairs, tonumber, type = ngx, pcall, ipairs, pairs, tonumber, type

local M = { groups = {}, order = {} }
local dict, running, weights, load, broken

-- init runs in init_by_lua. opts: dict, dir (this file's folder), token_file, upstreams (names; nil: every one there
-- is).
function M.init(opts)
    M.opts = opts
    running, weights = dofile(opts.dir .. "/running.lua"), dofile(opts.dir .. "/weights.lua")
    weights.use(running)
    M.tools = dofile(opts.dir .. "/control.lua")
    M.control = M.tools.new(M)
    local f = io.open(opts.token_file, "r")
    M.token = f and f:read("*l")
    if f then f:close() end
    dict = ngx.shared[opts.dict]
    load = dict:incr("loads", 1, 0)
    return M
end

-- stale tells that workers of a newer configuration run: what is asked here says nothing about them.
function M.stale() return (dict:get("newest") or 0) > load end

-- text is how weights are kept: those of wanted ({ server = { weight, down } }) or, where that is nil, of the file.
local function text(g, wanted)
    local out = { g.signature }
    for i, s in ipairs(g.servers) do
        local w = wanted and wanted[s.server] or s
        out[i + 1] = s.server .. " " .. w.weight .. (w.down and " down" or " up")
    end
    return table.concat(out, "\n")
end

-- kept returns the weights kept for a group, nil when there are none; and whether the file has changed since, so that
-- they are void.
local function kept(g)
    local set = dict:get(g.w)
    if not set then return nil, false end
    if set:match("^[^\n]*") ~= g.signature then return nil, true end
    local wanted = {}
    for server, weight, word in set:gmatch("\n(%S+) (%d+) (%a+)") do
        wanted[server] = { weight = tonumber(weight), down = word == "down" }
    end
    return wanted, false
end

local function by_server(now)
    local held = {}
    for _, list in ipairs { now.main, now.backup } do
        for _, p in ipairs(list) do held[p.server] = p end
    end
    return held
end

-- look returns what is in force in a group and the count of changes; nil, why not, and what to lock if that may only be
-- because another worker is just writing.
local function look(g)
    local version = dict:get(g.v) or 0
    local now, why, peers = weights.read(g)
    if not now then return nil, why, peers end
    if text(g, by_server(now)) ~= (dict:get(g.m) or g.file) then
        return nil, "its weights are neither the file's nor those set last: another program changes them",
            now.main.peers
    end
    return now, version
end

-- view returns what is in force in a group and the count of changes, or nil and why it cannot be changed.
function M.view(g)
    if broken then return nil, broken end
    local now, version, peers = look(g)
    if peers then now, version = weights.locked(peers, look, g) end
    return now, version
end

-- check returns what is in force in a group, with held = that by server and version = the count of changes; or nil, an
-- HTTP status and why wanted may not be set. wanted may be a function that returns it, called after the changes were
-- counted; then false means that it returned nothing.
function M.check(g, wanted)
    local now, version = M.view(g)
    if not now then return nil, 409, "upstream " .. g.name .. ": " .. version end
    now.held, now.version, now.target = by_server(now), version, {}
    if type(wanted) == "function" then wanted = wanted(g) end
    if not wanted then return false end
    local up = 0
    for server, p in pairs(now.held) do
        local want = wanted[server] or p
        now.target[server] = { weight = want.weight, down = want.down }
        if not p.backup and not want.down then up = up + 1 end
    end
    if up == 0 then return nil, 409, "upstream " .. g.name .. ": no server would be left" end
    return now
end

-- set puts weights ({ server = { weight, down } }, or a function as in check) in force, and leaves those of servers
-- that it does not name. With keep they outlive a reload. Returns true; or nil, an HTTP status and why nothing was
-- changed.
function M.set(g, wanted, keep)
    for _ = 1, 100 do
        local now, status, why = M.check(g, wanted)
        if now == false then return true end
        if not now then return nil, status, why end
        local held, target, version = now.held, now.target, now.version
        local new, old = text(g, target), text(g, held)
        local to_keep = keep and new or nil
        if new == old and dict:get(g.w) == to_keep then return true end
        local done, err = weights.write(now, target, function()
            if (dict:get(g.v) or 0) ~= version then return false end -- another worker was faster
            local ok, full = dict:safe_set(g.m, new)
            if ok and to_keep then ok, full = dict:safe_set(g.w, to_keep) end
            if not ok then
                if not dict:safe_set(g.m, old) then dict:delete(g.m) end
                return nil, full
            end
            if not to_keep then dict:delete(g.w) end
            dict:incr(g.v, 1, 0)
            return true
        end)
        if done then return true end
        if done == nil then
            return nil, 507, "shared dictionary: " .. err .. ": install again, which sizes it to the configuration"
        end
    end
    return nil, 503, "upstream " .. g.name .. ": its weights change all the time"
end

-- reset returns a group to the weights of the file, and forgets those kept.
function M.reset(g)
    if not M.view(g) then
        dict:delete(g.w)
        return true
    end
    local file = {}
    for _, s in ipairs(g.servers) do file[s.server] = s end
    return M.set(g, file, false)
end

-- outdated tells whether weights are kept for a group, and whether they are void.
function M.outdated(g)
    local wanted, void = kept(g)
    return wanted ~= nil or void, void
end

local function wanted_here(name)
    if not M.opts.upstreams then return true end
    for _, chosen in ipairs(M.opts.upstreams) do
        if chosen == name then return true end
    end
    return false
end

local function start()
    broken = weights.unknown()
    if broken then error(broken, 0) end
    local before = dict:get("newest") or 0
    if before < load then dict:set("newest", load) end
    local groups = running.upstreams("")
    weights.learn_methods(groups)
    for _, g in ipairs(groups) do
        if wanted_here(g.name) and not weights.is_reference(g.name) then
            local sign = {}
            for i, s in ipairs(g.servers) do
                sign[i] = s.server .. " " .. s.weight .. (s.down and " down" or "") .. (s.backup and " backup" or "")
            end
            g.signature, g.known = table.concat(sign, ","), {}
            for _, s in ipairs(g.servers) do g.known[s.server] = true end
            g.w, g.v, g.m, g.file = "w:" .. g.name, "v:" .. g.name, "m:" .. load .. ":" .. g.name, text(g)
            M.groups[g.name], M.order[#M.order + 1] = g, g
            if before < load then dict:delete("m:" .. before .. ":" .. g.name) end
            if kept(g) then
                -- Another worker may already take calls: what is kept is looked up anew whenever they have changed it.
                local ok, _, why = M.set(g, kept, true)
                if not ok then ngx.log(ngx.WARN, "trimtab: the weights set live are not in force: ", why) end
            end
        end
    end
end

-- start runs in init_worker_by_lua, in every worker before its first request.
function M.start()
    local ok, err = pcall(start)
    if ok then return end
    broken = tostring(err)
    ngx.log(ngx.ERR, "trimtab: weights cannot be set live: ", broken)
end

return M
