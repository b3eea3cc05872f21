-- Part of Trimtab.
-- The status page as text, in the shape of nginx-module-vts' JSON.

local ngx, floor, tostring, ipairs = ngx, math.floor, tostring, ipairs

local M = {}

local function number(n) return string.format("%.0f", n) end

local function quoted(s)
    return '"' .. s:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

-- Groups of live.conf that only show what a method looks like.
local REFERENCES = "trimtab-method-"

local RING = '{"times":[],"msecs":[]}'
local CACHE = { "miss", "bypass", "expired", "stale", "updating", "revalidated", "hit", "scarce" }
local NO_CACHE = ',"' .. table.concat(CACHE, '":0,"') .. '":0'

-- Counters here are whole up to 2^53 and never wrap: the counts of wraps are constant.
local function over(cache, last)
    return '"overCounts":{"maxIntegerSize":9007199254740992,"requestCounter":0,"inBytes":0,"outBytes":0,' ..
        '"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":0' .. cache .. ',"requestMsecCounter":0' .. last .. '}'
end

local function setting(v) return v == nil and "null" or tostring(v) end

-- new returns the function that renders the page: render(closed, groups, loose), closed being why memory is not read,
-- groups and loose what running.upstreams returned. of holds the dictionary, the places of the counters, and where to
-- read.
function M.new(of)
    local dict, bounds, fields, running, variables = of.dict, of.bounds, of.fields, of.running, of.variables
    local n_bounds, n_fields = #bounds, #fields
    local msecs = "[" .. table.concat(bounds, ",") .. "]"

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
        return '{"msecs":' .. msecs .. ',"counters":[' .. table.concat(counts, ",") .. ']}'
    end

    local function counters(cell, cache)
        local classes = {}
        for i = 1, 5 do classes[i] = '"' .. i .. 'xx":' .. number(cell[of.class + i]) end
        return '"requestCounter":' .. number(cell[of.requests]) .. ',"inBytes":' .. number(cell[of.bytes_in]) ..
            ',"outBytes":' .. number(cell[of.bytes_out]) ..
            ',"responses":{' .. table.concat(classes, ",") .. cache .. '},"requestMsecCounter":' ..
            number(cell[of.request_ms]) .. ',"requestMsec":0,"requestMsecs":' .. RING
    end

    local function server_zone(name, cell, buckets)
        return quoted(name) .. ":{" .. counters(cell, NO_CACHE) .. ',"requestBuckets":' .. buckets .. "," ..
            over(NO_CACHE, "") .. "}"
    end

    local function server_zones()
        local out, total = {}, {}
        for i = 1, n_fields do total[i] = 0 end
        for i = 1, dict:get("zones") or 0 do
            local name = dict:get("zone" .. i)
            if name then
                local cell = read("s", name)
                for j = 1, n_fields do total[j] = total[j] + cell[j] end
                out[#out + 1] = server_zone(name, cell, histogram(cell, of.histograms))
            end
        end
        out[#out + 1] = server_zone("*", total, '{"msecs":[],"counters":[]}')
        return table.concat(out, ","), total[of.requests]
    end

    -- peer renders a server of a group; settings that are not known are null.
    local function peer(group, s)
        local cell = read("u", group .. "\0" .. s.server)
        return '{"server":' .. quoted(s.server) .. "," .. counters(cell, "") ..
            ',"requestBuckets":' .. histogram(cell, of.histograms) ..
            ',"responseMsecCounter":' .. number(cell[of.response_ms]) .. ',"responseMsec":0,"responseMsecs":' .. RING ..
            ',"responseBuckets":' .. histogram(cell, of.histograms + n_bounds + 1) ..
            ',"weight":' .. setting(s.weight) .. ',"maxFails":' .. setting(s.max_fails) ..
            ',"failTimeout":' .. setting(s.fail_timeout) ..
            ',"backup":' .. setting(s.backup) .. ',"down":' .. setting(s.down) .. "," ..
            over("", ',"responseMsecCounter":0') .. "}",
            cell[of.requests] > 0
    end

    -- once leaves out backups whose address is a primary's too: they stand in until the name is resolved, and share its
    -- counters.
    local function once(list)
        local primary, out = {}, {}
        for _, s in ipairs(list) do
            if not s.backup then primary[s.server] = true end
        end
        for _, s in ipairs(list) do
            if not s.backup or not primary[s.server] then out[#out + 1] = s end
        end
        return out
    end

    local function no_server(name)
        return { server = name, weight = 0, max_fails = 0, fail_timeout = 0, backup = false, down = false }
    end

    -- in_force lists the servers of a group with the settings that its balancer goes by now.
    local function in_force(g)
        local list = running.current(g)
        if list then return once(list) end
        list = {}
        for i, s in ipairs(g.servers) do
            local weight, down = running.in_force(s)
            list[i] = setmetatable({ weight = weight, down = down }, { __index = s })
        end
        return list
    end

    local function from_memory(groups, loose)
        local out = {}
        for _, g in ipairs(groups) do
            if g.name:sub(1, #REFERENCES) == REFERENCES then goto continue end
            local peers = {}
            for i, s in ipairs(in_force(g)) do peers[i] = peer(g.name, s) end
            -- Requests that found no live server are charged to the group itself, as the module does.
            local self, used = peer(g.name, no_server(g.name))
            if used then peers[#peers + 1] = self end
            out[#out + 1] = quoted(g.name) .. ":[" .. table.concat(peers, ",") .. "]"
            ::continue::
        end
        local peers, seen = {}, {}
        for _, s in ipairs(loose) do
            if not seen[s.server] then
                seen[s.server] = true
                local text, used = peer(of.nogroup, no_server(s.server))
                if used then peers[#peers + 1] = text end
            end
        end
        if #peers > 0 then out[#out + 1] = quoted(of.nogroup) .. ":[" .. table.concat(peers, ",") .. "]" end
        return table.concat(out, ",")
    end

    -- from_requests lists the servers that have had requests, in the order in which they had the first.
    local function from_requests()
        local order, peers = {}, {}
        for i = 1, dict:get("peers") or 0 do
            local group, server = (dict:get("peer" .. i) or ""):match("^(.-)%z(.*)$")
            if group then
                if not peers[group] then peers[group], order[#order + 1] = {}, group end
                table.insert(peers[group], (peer(group, server == group and no_server(server) or { server = server })))
            end
        end
        for i, group in ipairs(order) do order[i] = quoted(group) .. ":[" .. table.concat(peers[group], ",") .. "]" end
        return table.concat(order, ",")
    end

    local function connections(closed, requests)
        if not closed then return running.connections() end
        local active, reading, writing, waiting = variables.connections()
        -- Of connections only requests are counted here.
        return active, reading, writing, waiting, requests, requests, requests
    end

    return function(closed, groups, loose)
        local zones, total = server_zones()
        local active, reading, writing, waiting, accepted, handled, requests = connections(closed, total)
        local capacity, free = 0, 0
        if dict.capacity then capacity, free = dict:capacity(), dict:free_space() end
        ngx.update_time()
        return '{"hostName":' .. quoted(ngx.var.hostname) ..
            ',"moduleVersion":"' .. of.version .. (closed and "-variables" or "") ..
            '","nginxVersion":"' .. ngx.var.nginx_version ..
            '","loadMsec":' .. number(of.load_ms) .. ',"nowMsec":' .. number(floor(ngx.now() * 1000 + 0.5)) ..
            ',"connections":{"active":' .. active .. ',"reading":' .. reading .. ',"writing":' .. writing ..
            ',"waiting":' .. waiting ..
            ',"accepted":' .. number(accepted) .. ',"handled":' .. number(handled) ..
            ',"requests":' .. number(requests) .. "}" ..
            ',"sharedZones":{"name":' .. quoted(of.dict_name) .. ',"maxSize":' .. number(capacity) ..
            ',"usedSize":' .. number(capacity - free) ..
            ',"usedNode":' .. number(dict:get("zones") or 0) .. ',"freeSize":' .. number(free) ..
            ',"dropped":' .. number(dict:get("dropped") or 0) .. "}" ..
            ',"serverZones":{' .. zones .. '},"upstreamZones":{' ..
            (closed and from_requests() or from_memory(groups, loose)) .. "}}"
    end
end

return M
