-- Picks worked out in advance, for a group in which nothing has failed and nothing is bounded: the same that the loops of
-- balancer.lua make, without their loops.
local ffi = require "ffi"

local M = {}
local LONGEST = 4096 -- of the sequences
local LARGEST = 16   -- servers of a group that is written out
local FAR = 1e9      -- beyond every current weight

-- sequence works out one period of the smooth weighted round robin, to be gone through without any arithmetic. nil when
-- something has failed or is bounded, so that every pick has to look, or the period is long.
function M.sequence(g)
    local up, total, divisor = {}, 0, 0
    for _, p in ipairs(g.main) do
        if p.fails > 0 or p.max_conns > 0 then return nil end
        if not p.down then
            up[#up + 1], total = p, total + p.weight
            local a, b = divisor, p.weight
            while b > 0 do a, b = b, a % b end
            divisor = a
        end
    end
    if total == 0 or total / divisor * #up > 16 * LONGEST then return nil end
    local list, current = {}, {}
    for i = 1, #up do current[i] = 0 end
    for k = 1, total / divisor do
        local best = 1
        for i, p in ipairs(up) do
            current[i] = current[i] + p.weight
            if current[i] > current[best] then best = i end
        end
        current[best] = current[best] - total
        list[k] = up[best]
    end
    return list
end

-- least_conn returns a function that picks a server, or nil when every pick has to look. Which server has the fewest connections is a
-- coin toss that no branch predicts and of whose outcomes LuaJIT would compile every combination; arithmetic it compiles once.
function M.least_conn(g)
    local up = {}
    for _, p in ipairs(g.main) do
        if p.fails > 0 or p.max_conns > 0 then return nil end
        if not p.down then up[#up + 1] = p end
    end
    local n = #up
    if n == 0 or n > LARGEST then return nil end
    local code, servers = {}, {}
    local function line(...) code[#code + 1] = string.format(...) end
    for i = 1, n do servers[i] = "p" .. i end
    line("local own, others, current, min, max, %s = ...", table.concat(servers, ", "))
    line("return function()")
    for i, p in ipairs(up) do line("local s%d = (own[%d] + others[%d]) / %d", i, p.index, p.index, p.weight) end
    line("local least = s1")
    for i = 2, n do line("least = min(least, s%d)", i) end
    -- t is the weight of a server that has the fewest connections for its weight, else 0: quotients that differ do so by far
    -- more than 1e-12. Among those the smooth weighted round robin decides; a single one leaves it as it was.
    for i, p in ipairs(up) do
        line("local t%d = %d * max(0, 1 - (s%d - least) * 1e12)", i, p.weight, i)
        line("local c%d = current[%d] + t%d", i, i, i)
        line("current[%d] = c%d", i, i)
        line("local k%d = c%d + (t%d / %d - 1) * %.0f", i, i, i, p.weight, FAR)
    end
    local total = {}
    for i = 1, n do total[i] = "t" .. i end
    line("local total, top = %s, k1", table.concat(total, " + "))
    for i = 2, n do line("top = max(top, k%d)", i) end
    for i = 1, n - 1 do line("if k%d == top then current[%d] = c%d - total return p%d end", i, i, i, i) end
    line("current[%d] = c%d - total", n, n)
    line("return p%d", n)
    line("end")
    return assert(loadstring(table.concat(code, "\n"), "=least_conn"))(g.own, g.others, ffi.new("double[?]", n + 1), math.min, math.max, unpack(up))
end

return M
