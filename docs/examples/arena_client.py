#!/usr/bin/env python3
"""Hill climbing on trimtab arena serve, standard library only.

    trimtab arena serve &
    python3 docs/examples/arena_client.py http://127.0.0.1:18081 capacity-1-2-4

Every episode changes one weight of the best ones so far and keeps the change when the sum of rewards over the same seed
rose. Replace `propose` by whatever you want to train.
"""
import random
import sys

from trimtab_gym import TrimtabEnv


def propose(weights, rng):
    """A copy of the weights with one of them doubled or halved."""
    changed = list(weights)
    i = rng.randrange(len(changed))
    changed[i] = min(100, max(1, changed[i] * 2 if rng.random() < 0.5 else changed[i] // 2))
    return changed


def play(env, weights, seed):
    """The sum of rewards of an episode on fixed weights, and its last p99."""
    env.reset(seed=seed)
    total, ended, info = 0.0, False, None
    while not ended:
        _, reward, terminated, truncated, info = env.step(weights)
        total, ended = total + reward, terminated or truncated
    return total, info["p99_ms"]


def main():
    base, scenario = sys.argv[1], sys.argv[2]
    episodes = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    rng, env = random.Random(1), TrimtabEnv(base, scenario=scenario)
    try:
        best = [4] * env.description["action_space"]["shape"][0]
        most, p99 = play(env, best, seed=1)
        print(f"start     reward {most:10.3f}  p99 {p99:8.1f} ms")
        for n in range(episodes):
            candidate = propose(best, rng)
            reward, p99 = play(env, candidate, seed=1)
            if reward > most:
                best, most = candidate, reward
                print(f"episode {n:2d} reward {most:10.3f}  p99 {p99:8.1f} ms  {best}")
        reward, p99 = play(env, best, seed=2)
        print(f"unseen    reward {reward:10.3f}  p99 {p99:8.1f} ms  {best}")
    finally:
        env.close()


if __name__ == "__main__":
    main()
