-- Part of Trimtab.
-- What the running NGINX knows about its upstreams, read from its own memory (read, never written).
--
-- NGINX's Lua module offers no list of upstream servers, and the text of nginx.conf is no substitute: it may have been
-- edited since it was loaded, and NGINX tests configurations that it then does not run. The parsed configuration of the
-- cycle that this worker belongs to cannot be stale: a worker lives and dies with one configuration.
--
-- Structures are laid out as in the headers of NGINX. That is the contract on which NGINX loads binary modules, and it
-- comes with a check that is made here too: version and build signature must be known, and every array says how large
-- its elements are. Where anything is unknown nothing is read, and variables.lua counts with less.

-- Loaded once, whoever asks: FFI refuses to declare a structure twice.
if package.loaded["trimtab.running"] then return package.loaded["trimtab.running"] end

local tonumber = tonumber

local M = {}

-- Without LuaJIT's FFI, or with a Lua module whose requests FFI does not reach, memory stays closed.
local has_ffi, ffi = pcall(require, "ffi")
local has_base, base = pcall(require, "resty.core.base")
if not has_ffi or not has_base or not base.get_request then
    M.unknown = function()
        return "NGINX's Lua module gives no access to memory: it lacks LuaJIT's FFI or lua-resty-core"
    end
    M.check = M.unknown
    package.loaded["trimtab.running"] = M
    return M
end

local C = ffi.C
local cast, str = ffi.cast, ffi.string

ffi.cdef [[
typedef struct { size_t len; const char *data; } trimtab_str_t;
typedef struct { void *elts; uintptr_t nelts; size_t size; uintptr_t nalloc; void *pool; } trimtab_array_t;
typedef struct {
    uintptr_t ctx_index, index; const char *name; uintptr_t spare0, spare1, version; const char *signature;
    void *ctx; struct { trimtab_str_t name; uintptr_t type; void *set; } *commands;
} trimtab_module_t;
typedef struct { void ***conf_ctx; } trimtab_cycle_t;
typedef struct { void **main_conf; } trimtab_conf_ctx_t;
typedef struct { void *buckets; uintptr_t size; trimtab_array_t upstreams; } trimtab_main_conf_t;
typedef struct { void *sockaddr; uint32_t socklen; trimtab_str_t name; } trimtab_addr_t;
typedef struct {
    trimtab_str_t name; trimtab_addr_t *addrs;
    uintptr_t naddrs, weight, max_conns, max_fails; intptr_t fail_timeout; uintptr_t slow_start, down;
    unsigned backup:1; uint64_t spare[6];
} trimtab_server_t;
typedef struct trimtab_peer_s trimtab_peer_t;
typedef struct trimtab_peers_s trimtab_peers_t;
typedef struct {
    void *init_upstream, *init; trimtab_peers_t *data; void **srv_conf; trimtab_array_t *servers;
    uintptr_t flags; trimtab_str_t host; const char *file_name; uintptr_t line; uint16_t port; uintptr_t no_port;
    struct { void *data, *addr; size_t size; trimtab_str_t name; } *zone;
} trimtab_upstream_t;
typedef struct {
    uintptr_t status, response_time, connect_time, header_time, queue_time;
    int64_t response_length, bytes_received, bytes_sent; trimtab_str_t *peer;
} trimtab_state_t;
typedef struct {
    void *data, *read, *write; int fd; void *recv, *send, *recv_chain, *send_chain, *listening; int64_t sent;
} trimtab_connection_t;
typedef struct {
    uint32_t signature; trimtab_connection_t *connection; void **ctx, **main_conf, **srv_conf, **loc_conf;
    void *read_event_handler, *write_event_handler, *cache, *upstream; trimtab_array_t *upstream_states;
} trimtab_request_t;

int64_t trimtab_atoof(const char *line, size_t n) __asm__("ngx_atoof");
int trimtab_var_get(void *r, const char *name, size_t name_len, char *lowcase, int capture, char **value, size_t *len,
    char **err) __asm__("ngx_http_lua_ffi_var_get");
int trimtab_status(void *r) __asm__("ngx_http_lua_ffi_get_resp_status");
double trimtab_start_time(void *r) __asm__("ngx_http_lua_ffi_req_start_time");
void trimtab_rlock(uintptr_t *lock) __asm__("ngx_rwlock_rlock");
void trimtab_unlock(uintptr_t *lock) __asm__("ngx_rwlock_unlock");

extern trimtab_cycle_t *trimtab_cycle __asm__("ngx_cycle");
extern trimtab_module_t trimtab_http __asm__("ngx_http_module");
extern trimtab_module_t trimtab_http_upstream __asm__("ngx_http_upstream_module");
extern uintptr_t *trimtab_accepted __asm__("ngx_stat_accepted");
extern uintptr_t *trimtab_handled __asm__("ngx_stat_handled");
extern uintptr_t *trimtab_requests __asm__("ngx_stat_requests");
extern uintptr_t *trimtab_active __asm__("ngx_stat_active");
extern uintptr_t *trimtab_reading __asm__("ngx_stat_reading");
extern uintptr_t *trimtab_writing __asm__("ngx_stat_writing");
extern uintptr_t *trimtab_waiting __asm__("ngx_stat_waiting");
]]

-- What differs between the versions, by the last version of each layout: what stands between a peer's TLS session and
-- the next peer, what stands between a list's lock and the next list of its zone, how large the record of an attempt
-- is, and where keepalive's configuration holds the method that it wraps and hash's the points of a consistent hash
-- (both in words; nil: it wraps none).
local OLDEST = 1022000
local LAYOUTS = {
    { to = 1027002, peer = "uintptr_t lock;", peers = "", state = { 72 }, kept = 8, points = 6 },
    { to = 1029005, peer = "unsigned zombie:1; uintptr_t lock, refs; void *host;",
      peers = "uintptr_t *config; trimtab_peer_t *resolve;",
      state = { 72 }, kept = 8, points = 7 },
    { to = 1029006, peer = "unsigned route:1, zombie:1; uintptr_t lock, refs; void *host; trimtab_str_t sid;",
      peers = "uintptr_t *config; trimtab_peer_t *resolve;", state = { 72 }, kept = 8, points = 7 },
    { to = 1031005, peer = "unsigned route:1, zombie:1; uintptr_t lock, refs; void *host; trimtab_str_t sid;",
      peers = "uintptr_t *config; trimtab_peer_t *resolve;", state = { 72, 88 }, points = 7 },
}
local NEWEST = LAYOUTS[#LAYOUTS].to

local PEER = [[
struct trimtab_peer_s {
    void *sockaddr; uint32_t socklen; trimtab_str_t name, server;
    intptr_t current_weight, effective_weight, weight; uintptr_t conns, max_conns, fails;
    intptr_t accessed, checked; uintptr_t max_fails; intptr_t fail_timeout; uintptr_t slow_start, start_time, down;
    void *ssl_session; int ssl_session_len; %s trimtab_peer_t *next;
};
struct trimtab_peers_s {
    uintptr_t number; void *shpool; uintptr_t rwlock; %s trimtab_peers_t *zone_next;
    uintptr_t total_weight, tries; unsigned single:1, weighted:1; trimtab_str_t *name; trimtab_peers_t *next;
    trimtab_peer_t *peer;
};
]]

-- Pointers and time_t of 64 bits; built with proxy cache, upstream zones and --with-compat, as every distribution does.
local SIGNATURE = "^8,%d+,8,%d+111$"

local EXPLICIT = 1 -- NGX_HTTP_UPSTREAM_CREATE: an upstream block, not an address that proxy_pass names
local HTTP = 0x50545448
local MAX_NAME = 1024

local request_p = ffi.typeof("trimtab_request_t *")
local state_p = ffi.typeof("trimtab_state_t *")
local bytes_p = ffi.typeof("const char *")
local words_p = ffi.typeof("int64_t *")
local get_request = base.get_request

-- unknown returns nil, or why the configuration of this NGINX must not be read.
function M.unknown()
    local ok, module = pcall(function() return C.trimtab_http_upstream end)
    if not ok then
        return "NGINX exports no symbols: it was built without support for dynamic modules"
    end
    local version = tonumber(module.version)
    if version < OLDEST or version > NEWEST then
        return "NGINX " .. version .. " is outside the versions that Trimtab knows, " .. OLDEST .. " to " .. NEWEST
    end
    local signature = str(module.signature)
    if not signature:find(SIGNATURE) then
        return "NGINX was built with options that Trimtab does not know (signature " .. signature .. ")"
    end
    if not M.layout then
        for _, layout in ipairs(LAYOUTS) do
            if version <= layout.to then M.layout = layout break end
        end
        ffi.cdef(string.format(PEER, M.layout.peer, M.layout.peers))
        M.layout.resolves = M.layout.peers ~= ""
    end
end

-- check returns nil, or why the requests of this NGINX cannot be counted.
function M.check()
    local why = M.unknown()
    if why then return why end
    if not pcall(function() return C.trimtab_atoof, C.trimtab_var_get, C.trimtab_status, C.trimtab_start_time end) then
        return "NGINX's Lua module does not export what Trimtab needs: version 0.10.16 or newer is wanted"
    end
    if not pcall(function() return C.trimtab_requests[0] end) then
        return "NGINX was built without http_stub_status_module, which counts the connections"
    end
end

-- text returns a string of NGINX's.
function M.text(s)
    local n = tonumber(s.len)
    if n > MAX_NAME or s.data == nil then
        error("an implausible name of " .. n .. " bytes in NGINX's upstream configuration")
    end
    return str(s.data, n)
end
local text = M.text

local function array_of(a, type)
    if tonumber(a.size) ~= ffi.sizeof(type) then
        error("NGINX's " .. type .. " has " .. tonumber(a.size) .. " bytes, not " .. ffi.sizeof(type))
    end
    return cast(type .. " *", a.elts), tonumber(a.nelts)
end

local function servers_of(u)
    local list = {}
    local servers, n = array_of(u.servers[0], "trimtab_server_t")
    for i = 0, n - 1 do
        local s = servers[i]
        -- Since 1.27.3 the first word behind backup is the length of a name that is resolved while NGINX runs.
        local addresses = M.layout.resolves and s.spare[0] ~= 0 and 0 or tonumber(s.naddrs)
        for j = 0, addresses - 1 do
            list[#list + 1] = {
                server = text(s.addrs[j].name),
                written = tonumber(s.name.len) > 0 and text(s.name) or "", -- an address that proxy_pass names has none
                weight = tonumber(s.weight),
                max_fails = tonumber(s.max_fails),
                fail_timeout = tonumber(s.fail_timeout),
                down = s.down ~= 0,
                backup = s.backup ~= 0,
            }
        end
    end
    return list
end

-- pointers finds the balancer's record of every server, and notes the address of its name: an attempt is recorded with
-- that pointer, which says both the server and the group even when several groups share a server. Balancers other than
-- NGINX's own keep records of another kind; then nothing is noted and attempts are told apart by name.
local function pointers(u, group, servers, into)
    local peers = u.data
    if peers == nil or tonumber(peers.number) > #servers or peers.name == nil or
        text(peers.name[0]) ~= text(u.host) then
        return
    end
    into[tonumber(cast("uintptr_t", peers.name))] = { group, text(u.host) }
    for _, backup in ipairs { false, true } do
        if peers == nil then return end
        local peer, left, at = peers.peer, tonumber(peers.number), 0
        while peer ~= nil and left > 0 do
            local name = text(peer.name)
            into[tonumber(cast("uintptr_t", peer) + ffi.offsetof("trimtab_peer_t", "name"))] = { group, name }
            repeat at = at + 1 until not servers[at] or servers[at].backup == backup
            if servers[at] and servers[at].server == name then servers[at].peer = peer end
            peer, left = peer.next, left - 1
        end
        peers = peers.next -- the backup servers
    end
end

-- upstreams returns the groups in the order of the configuration, {name, servers, conf = NGINX's own record}, the
-- addresses that proxy_pass names without an upstream block, and the map from name pointers to {group, server}. A
-- server has the balancer's record of it as peer, where it is one of NGINX's own. Call it in a worker: in the master,
-- while a configuration is being loaded, it would see the one before.
function M.upstreams(nogroup)
    local main = cast("trimtab_conf_ctx_t *", C.trimtab_cycle.conf_ctx[tonumber(C.trimtab_http.index)])
    local conf = cast("trimtab_main_conf_t *", main.main_conf[tonumber(C.trimtab_http_upstream.ctx_index)])
    local list, n = array_of(conf.upstreams, "void *")
    list = cast("trimtab_upstream_t **", list)
    local groups, loose, by_pointer = {}, {}, {}
    for i = 0, n - 1 do
        local u = list[i]
        if u.servers ~= nil then
            local servers = servers_of(u)
            if tonumber(u.flags) % 2 == EXPLICIT then
                local name = text(u.host)
                groups[#groups + 1] = { name = name, servers = servers, conf = u }
                pointers(u, name, servers, by_pointer)
            else
                for _, s in ipairs(servers) do loose[#loose + 1] = s end
                pointers(u, nogroup, servers, by_pointer)
            end
        end
    end
    return groups, loose, by_pointer
end

-- request returns the current request, for the functions that follow. They are called for every request, so they read
-- numbers where they lie instead of having NGINX print them into strings.
function M.request()
    local r = cast(request_p, get_request())
    if r.signature ~= HTTP then error("this is no request of NGINX") end
    return r
end

-- server_key tells apart the server blocks.
function M.server_key(r) return tonumber(cast("uintptr_t", r.srv_conf)) end

-- bytes_sent is $bytes_sent.
function M.bytes_sent(r) return tonumber(r.connection.sent) end

local NAME = "request_length"
local lowcase = ffi.new("char[?]", #NAME)
local value, value_len, err = ffi.new("char *[1]"), ffi.new("size_t[1]"), ffi.new("char *[1]")

-- asked_length is $request_length as NGINX prints it, which makes it allocate: often a whole block, since by the time a
-- request is logged its pool is full.
local function asked_length(r)
    if C.trimtab_var_get(r, NAME, #NAME, lowcase, 0, value, value_len, err) ~= 0 then return 0 end
    return tonumber(C.trimtab_atoof(value[0], value_len[0]))
end

-- The number that NGINX prints lies deep in the request, and its place depends on how NGINX was built. It is found by
-- elimination: of all words that it may be, those stay that agree with NGINX's answer, request after request. Only if a
-- single one is left after LEARN requests it is read directly, and every CHECK requests compared once more. Until then,
-- and from a disagreement on, NGINX is asked. The words looked at all lie within the request of every known version.
local FIRST_WORD, LAST_WORD = 120, 160 -- of 8 bytes; with NGINX 1.22.1 of Debian it is 156
local LEARN, CHECK = 64, 1024
local candidates = {}
for i = FIRST_WORD, LAST_WORD do candidates[#candidates + 1] = i end
local agreed = 0            -- requests on which a candidate agreed
local place, reads = nil, 0 -- the word found, and how many times it may be read before the next comparison

local function compared_length(r)
    local length = asked_length(r)
    if #candidates == 0 then return length end
    local words, left = cast(words_p, r), {}
    for _, i in ipairs(candidates) do
        if words[i] == length then left[#left + 1] = i end
    end
    candidates, agreed = left, agreed + 1
    place, reads = nil, 0
    if #left == 1 and agreed >= LEARN then place, reads = left[1], CHECK end
    return length
end

-- request_length is $request_length.
function M.request_length(r)
    if reads == 0 then return compared_length(r) end
    reads = reads - 1
    return tonumber(cast(words_p, r)[place])
end

-- asks tells whether NGINX is still asked for every request's length.
function M.asks() return place == nil end

-- status is $status.
function M.status(r) return C.trimtab_status(r) end

-- start_seconds is when the request began, in seconds since the Unix epoch.
function M.start_seconds(r) return C.trimtab_start_time(r) end

-- attempts returns the list of attempts that NGINX made for a request, as (states, n, size of one), or nil when none
-- was made.
function M.attempts(r)
    local a = r.upstream_states
    if a == nil then return nil, 0 end
    return a.elts, tonumber(a.nelts), tonumber(a.size)
end

-- state returns attempt i of those that attempts found.
function M.state(states, i, size)
    if size ~= 72 and size ~= M.layout.state[2] then error("NGINX's record of an attempt has " .. size .. " bytes") end
    return cast(state_p, cast(bytes_p, states) + i * size)
end

-- pointer returns the key of by_pointer for an attempt, nil when the attempt is only the mark of a redirect.
function M.pointer(state)
    if state.peer == nil then return nil end
    return tonumber(cast("uintptr_t", state.peer))
end

-- conf_of returns the upstream block that the request was sent to last, as a number, 0 for none known. Its place in
-- NGINX's record is found as that of the length: by elimination among the words that hold a known block.
local FIRST_CONF, LAST_CONF = 20, 90 -- of 8 bytes; with NGINX 1.30.6 of Debian it is looked at in the tests
local confs, learned
local conf_place

local function conf_words(upstream)
    local words, found = cast(words_p, upstream), {}
    for i = FIRST_CONF, LAST_CONF do
        if confs[tonumber(words[i])] then found[i] = true end
    end
    return found
end

-- conf_key is the key of learn_confs' table for a group.
function M.conf_key(g) return tonumber(cast("uintptr_t", g.conf)) end

-- learn_confs says which blocks there are: a table whose keys are their addresses.
function M.learn_confs(known) confs, learned, conf_place = known, nil, nil end

function M.conf_of(r)
    local upstream = r.upstream
    if upstream == nil then return 0 end
    if conf_place then
        local at = tonumber(cast(words_p, upstream)[conf_place])
        return confs[at] and at or 0
    end
    local found = conf_words(upstream)
    if not next(found) then return 0 end -- an address that proxy_pass names
    if learned then
        for i in pairs(found) do
            if not learned.places[i] then found[i] = nil end
        end
    end
    learned = { places = found, agreed = (learned and learned.agreed or 0) + 1 }
    local place = next(found)
    if place and not next(found, place) then
        if learned.agreed >= LEARN then conf_place = place end
        return tonumber(cast(words_p, upstream)[place])
    end
    return 0
end

local function inside(zone, p, n)
    local at = tonumber(cast("uintptr_t", p)) - tonumber(cast("uintptr_t", zone.addr))
    return p ~= nil and at >= 0 and at % 8 == 0 and at + n <= tonumber(zone.size)
end

local function walk(zone, peers, host, backup, into)
    if not inside(zone, peers, ffi.sizeof("trimtab_peers_t")) or peers.shpool ~= zone.addr or
        not inside(zone, peers.name, 16) or
        M.text(peers.name[0]) ~= host then error("its list of servers is not where it should be", 0) end
    local peer, number = peers.peer, tonumber(peers.number)
    for _ = 1, number do
        if not inside(zone, peer, ffi.sizeof("trimtab_peer_t")) then
            error("a server's record lies outside its zone", 0)
        end
        into[#into + 1] = {
            server = M.text(peer.name), written = M.text(peer.server), weight = tonumber(peer.weight),
            max_fails = tonumber(peer.max_fails),
            fail_timeout = tonumber(peer.fail_timeout), down = peer.down ~= 0, backup = backup,
            resolved = peer.host ~= nil,
            active = tonumber(peer.conns),
        }
        peer = peer.next
    end
    if peer ~= nil then error("its list of servers does not end where it should", 0) end
end

-- current returns the servers that the balancer of a group goes by now, those resolved from a name included, for a
-- version that resolves and a group with a zone; else nil, and why where something is wrong.
function M.current(g)
    local u = g.conf
    if not M.layout.resolves or u.zone == nil or u.data == nil then return nil end
    local peers, list = u.data, {}
    if not inside(u.zone, peers, ffi.sizeof("trimtab_peers_t")) then
        return nil, "its list of servers lies outside its zone"
    end
    for _, backup in ipairs { false, true } do
        if peers == nil then break end
        local lock = cast("uintptr_t *", cast("char *", peers) + ffi.offsetof("trimtab_peers_t", "rwlock"))
        C.trimtab_rlock(lock)
        local ok, why = pcall(walk, u.zone, peers, g.name, backup, list)
        C.trimtab_unlock(lock)
        if not ok then return nil, why end
        peers = peers.next
    end
    return list
end

-- in_force returns weight and down of a server as its balancer goes by them now: a zone's may have been changed since
-- the configuration was loaded.
function M.in_force(s)
    if not s.peer then return s.weight, s.down end
    return tonumber(s.peer.weight), s.peer.down ~= 0
end

function M.peer_name(state) return text(state.peer[0]) end

-- connections returns active, reading, writing, waiting, accepted, handled, requests.
function M.connections()
    return tonumber(C.trimtab_active[0]), tonumber(C.trimtab_reading[0]), tonumber(C.trimtab_writing[0]),
        tonumber(C.trimtab_waiting[0]), tonumber(C.trimtab_accepted[0]), tonumber(C.trimtab_handled[0]),
        tonumber(C.trimtab_requests[0])
end

package.loaded["trimtab.running"] = M
return M
