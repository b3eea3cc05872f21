-- Part of Trimtab.
-- Weights of NGINX's own balancers, set where the balancers look at them for every pick: in the shared memory of an
-- upstream's `zone`, under the lock that every pick takes.
--
-- Written are weight, current_weight, effective_weight and down of a server, and total_weight, tries and weighted of
-- its list: all that follows from weights and down when NGINX loads a configuration. Before that everything is looked
-- at that NGINX has laid down there: what differs in anything from the configuration that this worker runs, or does not
-- add up, is refused with a reason and left alone.

if package.loaded["trimtab.weights"] then return package.loaded["trimtab.weights"] end

local has_ffi, ffi = pcall(require, "ffi")
local C, cast = has_ffi and ffi.C, has_ffi and ffi.cast
local tonumber, ipairs, pcall, floor = tonumber, ipairs, pcall, math.floor

local M = {}
local running

local DECLARED = [[
void trimtab_lock(uintptr_t *lock) __asm__("ngx_rwlock_wlock");
int trimtab_round_robin(void *cf, void *us) __asm__("ngx_http_upstream_init_round_robin");
extern trimtab_module_t trimtab_keepalive __asm__("ngx_http_upstream_keepalive_module");
]]

-- Sizes and offsets, known with the layout of the running version.
local PEER, PEERS, EFFECTIVE, LOCK

local function address(p) return tonumber(cast("uintptr_t", p)) end

-- use says where to read the configuration: running is the module running.lua.
function M.use(module) running = module end

-- unknown returns nil, or why weights must not be written in this NGINX.
function M.unknown()
    local why = running.unknown()
    if why then return why end
    if not PEER then
        ffi.cdef(DECLARED)
        PEER, PEERS = ffi.sizeof("trimtab_peer_t"), ffi.sizeof("trimtab_peers_t")
        EFFECTIVE, LOCK = ffi.offsetof("trimtab_peer_t", "effective_weight"), ffi.offsetof("trimtab_peers_t", "rwlock")
    end
    if not pcall(function() return C.trimtab_lock, C.trimtab_unlock, C.trimtab_round_robin end) then
        return "NGINX does not export ngx_rwlock_wlock, ngx_rwlock_unlock and its round robin"
    end
    if not ffi.abi("le") or not ffi.abi("64bit") then
        return "this processor's byte order or word length is not known to Trimtab"
    end
end

-- The method of an upstream ------------------------------------------------------------------------------------

-- What an upstream picks by, NGINX keeps as the address of a function without a name, and where the linker put it says
-- nothing. So live.conf holds one upstream per method, which nothing uses: what picks as they do has their method.
local REFERENCE = "^trimtab%-method%-(.+)$"
local references, keepalive_at

-- is_reference tells whether a group is one of those of live.conf.
function M.is_reference(name) return name:match(REFERENCE) ~= nil end

-- learn_methods is given all groups before any of them is read.
function M.learn_methods(groups)
    references, keepalive_at = {}, nil
    for _, g in ipairs(groups) do
        local name = g.name:match(REFERENCE)
        if name == "keepalive" then
            keepalive_at = running.layout.kept and address(g.conf.init_upstream)
        elseif name then
            references[address(g.conf.init_upstream)] = name
        end
    end
end

local function keepalive_conf(u) return cast("void **", u.srv_conf[tonumber(C.trimtab_keepalive.ctx_index)]) end

-- method returns round_robin, least_conn, ip_hash or hash, or nil and why the weights of the upstream cannot be changed
-- while NGINX runs.
local function method(u)
    local f = address(u.init_upstream)
    if f == keepalive_at then f = address(keepalive_conf(u)[running.layout.kept]) end
    if f == 0 or f == address(C.trimtab_round_robin) then return "round_robin" end
    local found = references[f]
    if found == "least_conn" or found == "ip_hash" or found == "hash" then return found end
    if found == "consistent" then
        return nil, "its method is hash with consistent, whose points NGINX works out from the weights when it " ..
            "loads the configuration"
    end
    if found == "random" then
        return nil, "its method is random, whose ranges NGINX works out from the weights once in every worker"
    end
    if not next(references) then
        return nil, "its method is not known: run trimtab nginx live install again and reload NGINX"
    end
    return nil, "its method is another module's, or Lua's"
end

-- Reading ------------------------------------------------------------------------------------------------------

-- room is the size of a zone that holds n servers.
local function room(n) return 64 * math.ceil((n + 16) / 64) end

local function inside(zone, p, n)
    local at = address(p) - address(zone.addr)
    return p ~= nil and at >= 0 and at + n <= tonumber(zone.size)
end

local function aligned(p) return address(p) % 8 == 0 end

-- side reads one list of servers, the main ones or the backups, that must be those of `wanted`. Returns nil and a
-- reason when it is not what NGINX makes of the configuration, and true when that may be because another worker is just
-- writing.
local function side(zone, peers, wanted, host)
    if not (inside(zone, peers, PEERS) and aligned(peers)) then
        return nil, "its list of servers lies outside its zone"
    end
    if peers.shpool ~= zone.addr then return nil, "its list of servers belongs to another zone" end
    if not inside(zone, peers.name, 16) or running.text(peers.name[0]) ~= host then
        return nil, "its list of servers has another name"
    end
    if tonumber(peers.number) ~= #wanted then
        return nil, "its list has " .. tonumber(peers.number) .. " servers, not " .. #wanted
    end
    local list = { peers = peers }
    local peer, total, tries = peers.peer, 0, 0
    for i, s in ipairs(wanted) do
        if not (inside(zone, peer, PEER) and aligned(peer) and inside(zone, peer.name.data, 1) and
            inside(zone, peer.server.data, 1)) then
            return nil, "the record of server " .. s.server .. " lies outside its zone"
        end
        if running.text(peer.name) ~= s.server or running.text(peer.server) ~= s.written then
            return nil, "server " .. i .. " in its zone is " .. running.text(peer.name) .. ", not " .. s.server
        end
        local weight, effective, down = tonumber(peer.weight), tonumber(peer.effective_weight), tonumber(peer.down)
        if weight < 1 or weight > 0x7fffffff or effective > weight or down > 1 then
            return nil, "weight " .. weight .. ", now " .. effective .. ", down " .. down .. " of server " ..
                s.server .. " are none that NGINX would have", true
        end
        total, tries = total + weight, tries + 1 - down
        list[i] = {
            peer = peer, server = s.server, base = s.weight, base_down = s.down, backup = s.backup, weight = weight,
            down = down == 1,
            fails = tonumber(peer.fails), active = tonumber(peer.conns),
        }
        peer = peer.next
    end
    if peer ~= nil then return nil, "its list of servers does not end where it should" end
    if tonumber(peers.total_weight) ~= total or tonumber(peers.tries) ~= tries or
        (peers.weighted == 1) ~= (total ~= #wanted) then
        return nil, "the sums in its zone do not fit its weights", true
    end
    return list
end

-- read returns what the balancer of a group (one of running.upstreams) goes by now: { method, main, backup }, both
-- lists of { server, weight, down, base, base_down, backup, fails, active }. nil and the reason when it cannot be
-- changed; then a third value means that it may be because another worker is just writing, and is what locked takes.
function M.read(g)
    local u = g.conf
    local how, why = method(u)
    if not how then return nil, why end
    if u.zone == nil then
        return nil, "it has no zone: add the line `zone " .. g.name .. " " .. room(#g.servers) .. "k;` to it"
    end
    if running.layout.resolves and u.data ~= nil and inside(u.zone, u.data, PEERS) and
        (u.data.resolve ~= nil or u.data.next ~= nil and u.data.next.resolve ~= nil) then
        return nil, "its servers come from DNS, which would bring its own weights back: use weights by DNS"
    end
    local wanted, seen = { [false] = {}, [true] = {} }, {}
    for _, s in ipairs(g.servers) do
        if seen[s.server] then return nil, "server " .. s.server .. " stands in it twice" end
        seen[s.server] = true
        table.insert(wanted[s.backup], s)
    end
    local now = { method = how }
    local writing
    now.main, why, writing = side(u.zone, u.data, wanted[false], g.name)
    if not now.main then return nil, why, writing and u.data end
    local backup = u.data.next
    if (backup ~= nil) ~= (#wanted[true] > 0) then
        return nil, "its backup servers are not those of the configuration"
    end
    if backup ~= nil then
        now.backup, why, writing = side(u.zone, backup, wanted[true], g.name)
        if not now.backup then return nil, why, writing and u.data end
        if backup.next ~= nil then return nil, "its list of backup servers does not end where it should" end
    else
        now.backup = {}
    end
    return now
end

-- Writing ------------------------------------------------------------------------------------------------------

-- prepare works out what to store, so that nothing is left to do under the lock but to store it.
local function prepare(list, wanted)
    local total, tries, changed = 0, 0, false
    for _, p in ipairs(list) do
        local want = wanted[p.server]
        p.new_weight, p.new_down = want.weight, want.down and 1 or 0
        p.effective = cast("int32_t *", cast("char *", p.peer) + EFFECTIVE)
        total, tries = total + want.weight, tries + 1 - p.new_down
        changed = changed or want.weight ~= p.weight or want.down ~= p.down
    end
    list.total, list.tries, list.changed = total, tries, changed
end

-- store puts a list's weights in force. A server that works at its full weight goes on so; one that NGINX favours less
-- since it failed keeps its share of the full weight. The order of picks begins anew, as with a configuration just
-- loaded.
local function store(list)
    if not list.changed then return end
    for i = 1, #list do
        local p = list[i]
        local peer, now = p.peer, p.effective[0]
        peer.effective_weight = now == p.weight and p.new_weight or floor(now * p.new_weight / p.weight)
        peer.weight, peer.down, peer.current_weight = p.new_weight, p.new_down, 0
    end
    local peers = list.peers
    peers.total_weight, peers.tries, peers.weighted = list.total, list.tries, list.total ~= #list and 1 or 0
end

local function lock_of(peers) return cast("uintptr_t *", cast("char *", peers) + LOCK) end

-- locked calls fn(...) while nobody picks from the list peers or writes to it, and returns what fn does.
function M.locked(peers, fn, ...)
    local lock = lock_of(peers)
    C.trimtab_lock(lock)
    local alive, ok, why = pcall(fn, ...)
    C.trimtab_unlock(lock)
    if not alive then error(ok) end
    return ok, why
end

local function store_all(now, commit)
    local ok, why = commit()
    if not ok then return ok, why end
    store(now.main)
    if now.backup.peers then M.locked(now.backup.peers, store, now.backup) end
    return true
end

-- write puts the weights wanted ({ server = { weight, down } }, all of the group) in the place of those that read
-- returned as now. Under the lock, commit is called first: unless it returns true nothing is written, and write returns
-- what commit did.
function M.write(now, wanted, commit)
    prepare(now.main, wanted)
    prepare(now.backup, wanted)
    return M.locked(now.main.peers, store_all, now, commit)
end

package.loaded["trimtab.weights"] = M
return M
