-- Worker slots of the live balancer: every worker keeps its own active counts under its own key, so that they are exact
-- without atomic operations, and those of a crashed worker are recognised by its process being gone.
local M = {}

-- identity names a process beyond the reuse of its number: "pid:start".
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

-- claim gives this worker a slot: the first that is free or whose owner has gone. bury(k) forgets what slot k counted.
-- nil when there is none.
function M.claim(dict, bury)
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

-- sweep buries the slots of workers that have gone without anyone taking their place.
function M.sweep(dict, own, bury)
    for k = 0, (dict:get("n") or 0) - 1 do
        local owner = k ~= own and dict:get("s:" .. k)
        if owner and not alive(owner) then bury(k) end
    end
end

return M
