-- Reads the servers of one upstream group from NGINX's own configuration, so that the file stays the only place
-- where servers are declared. Runs in the master, as it loads a configuration.
-- What cannot be read with certainty is refused: the group then keeps NGINX's own round robin.
local M = {}

local ALONE = { ["least_conn"] = true, ["keepalive"] = true, ["keepalive_requests"] = true, ["keepalive_timeout"] = true,
                ["keepalive_time"] = true, ["zone"] = true }

local function slurp(path)
    local f, err = io.open(path, "rb")
    if not f then return nil, err end
    local text = f:read("*a")
    f:close()
    return text
end

-- The end of the block whose text starts at pos, as a list of directives (lists of words); nil and a reason otherwise.
-- NGINX's rules: quotes, # and } are special only at the start of a word; blanks, ; and { end a bare word.
local function directives(text, pos, whole)
    local list, words = {}, {}
    while true do
        pos = text:find("%S", pos)
        if not pos then
            if whole and #words == 0 then return list end
            return nil, "the block does not end"
        end
        local c = text:sub(pos, pos)
        if c == "#" then
            pos = text:find("\n", pos, true) or #text + 1
        elseif c == ";" then
            list[#list + 1], words, pos = words, {}, pos + 1
        elseif c == "}" then
            if whole or #words > 0 then return nil, "a } where none can be" end
            return list
        elseif c == "{" then
            return nil, "a block inside the upstream"
        elseif c == '"' or c == "'" then
            local word, at = {}, pos + 1
            while true do
                local ch = text:sub(at, at)
                if ch == "" then return nil, "a quote that does not end" end
                if ch == c then break end
                if ch == "\\" then at = at + 1; ch = text:sub(at, at) end
                word[#word + 1], at = ch, at + 1
            end
            words[#words + 1], pos = table.concat(word), at + 1
        else
            local from = pos
            pos = text:find("[%s;{]", pos) or #text + 1
            words[#words + 1] = text:sub(from, pos - 1)
        end
    end
end

-- The start of the body of `upstream name {`, which must be there once.
local function body(text, name)
    local found
    for from, quote, word, stop in text:gmatch("()upstream%s+([\"']?)([^%s\"'{;]+)%2%s*{()") do
        if word == name then
            local before = text:sub(1, from - 1):match("[^\n]*$")
            if before:match("^%s*$") or before:match("[;{}]%s*$") and not before:find("#", 1, true) then
                if found then return nil, "declared twice" end
                found = stop
            end
        end
    end
    return found, not found and "not found" or nil
end

-- NGINX's notation of a time, in whole seconds.
local function seconds(s)
    local unit, total = { s = 1, m = 60, h = 3600, d = 86400, [""] = 1 }, 0
    if not s:match("^[%dsmhd]+$") then return nil end
    for n, u in s:gmatch("(%d+)(%a?)") do total = total + tonumber(n) * unit[u] end
    return total
end

-- host and port for the balancer, and the name that the status page uses.
local function address(s)
    if s:match("^unix:.") then return s, 0, s end
    local host, port = s:match("^(%[[%x:%.]+%]):?(%d*)$")
    if not host then host, port = s:match("^(%d+%.%d+%.%d+%.%d+):?(%d*)$") end
    if not host then return nil end
    port = tonumber(port) or 80
    return host, port, host .. ":" .. port
end

local function server(words)
    local host, port, name = address(words[2] or "")
    if not host then return nil, "server " .. tostring(words[2]) .. " is not an IP address" end
    local p = { name = name, host = host, port = port, base = 1, max_fails = 1, fail_timeout = 10, max_conns = 0,
                base_down = false, backup = false }
    for i = 3, #words do
        local w = words[i]
        local key, value = w:match("^([a-z_]+)=(.*)$")
        if w == "down" then p.base_down = true
        elseif w == "backup" then p.backup = true
        elseif key == "weight" then p.base = tonumber(value)
        elseif key == "max_fails" then p.max_fails = tonumber(value)
        elseif key == "max_conns" then p.max_conns = tonumber(value)
        elseif key == "fail_timeout" then p.fail_timeout = seconds(value)
        else return nil, "server parameter " .. w end
    end
    if not (p.base and p.base >= 1 and p.max_fails and p.max_conns and p.fail_timeout) then
        return nil, "the parameters of server " .. name
    end
    return p
end

local function gather(group, list, prefix, own, depth)
    for _, words in ipairs(list) do
        local name = words[1]
        if name == "server" then
            local p, err = server(words)
            if not p then return err end
            group.peers[#group.peers + 1] = p
        elseif name == "include" and words[2] == own then
            group.wired = true
        elseif name == "include" then
            local path = words[2] or ""
            if path:find("[%*%?%[]") or depth > 4 then return "include " .. path .. " inside the upstream" end
            if path:sub(1, 1) ~= "/" then path = prefix .. "/" .. path end
            local text, err = slurp(path)
            if not text then return err end
            local inner, why = directives(text, 1, true)
            if not inner then return path .. ": " .. why end
            err = gather(group, inner, prefix, own, depth + 1)
            if err then return err end
        elseif not ALONE[name] then
            return tostring(name) .. " in the upstream"
        elseif name == "least_conn" then
            if group.wired then return "include " .. own .. " must stand below least_conn" end
            group.method = "least_conn"
        elseif name == "keepalive" and not group.wired then
            return "include " .. own .. " must stand above keepalive"
        end
    end
end

-- read returns { method, peers, signature } of the group, or nil and why not. file is where the upstream stands, prefix
-- the folder that relative includes start from, own the snippet of the group that must be included there.
function M.read(name, file, prefix, own)
    local text, err = slurp(file)
    if not text then return nil, err end
    local from, why = body(text, name)
    if not from then return nil, "upstream " .. name .. " in " .. file .. ": " .. why end
    local list
    list, why = directives(text, from)
    if not list then return nil, "upstream " .. name .. " in " .. file .. ": " .. why end
    local group = { name = name, method = "round_robin", peers = {} }
    why = gather(group, list, prefix, own, 0)
    if not why and not group.wired then why = "no include " .. own end
    if not why and #group.peers == 0 then why = "no servers" end
    local seen, sign = {}, {}
    for i, p in ipairs(group.peers) do
        if seen[p.name] then why = why or "server " .. p.name .. " declared twice" end
        seen[p.name] = true
        sign[i] = p.name .. " " .. p.base .. (p.base_down and " down" or "") .. (p.backup and " backup" or "")
    end
    if why then return nil, "upstream " .. name .. " in " .. file .. ": " .. why end
    group.signature = table.concat(sign, ",")
    return group
end

return M
