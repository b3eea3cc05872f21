#!/usr/bin/env python3
"""Hill climbing on the arena's HTTP interface, standard library only.

    trimtab arena serve &
    python3 docs/examples/arena_client.py http://127.0.0.1:18081 capacity-1-2-4

Every episode changes one weight of the best vectors so far and keeps the change when the sum of rewards over the
same seed rose. Replace `propose` by whatever you want to train.
"""
import json
import random
import sys
import urllib.error
import urllib.request


class Env:
    """One environment of the arena, in the manner of Gym."""

    def __init__(self, base, scenario, seed=1, method=""):
        self.base, self.scenario = base.rstrip("/"), scenario
        made = self._call("POST", "/envs", {"scenario": scenario, "seed": seed, "method": method})
        self.id, self.first = made["env"], made["observation"]

    def reset(self, seed):
        return self._call("POST", f"/envs/{self.id}/reset", {"seed": seed})["observation"]

    def step(self, weights):
        r = self._call("POST", f"/envs/{self.id}/step", {"weights": weights})
        return r["observation"], r["reward"], r["done"], r["info"]

    def close(self):
        self._call("DELETE", f"/envs/{self.id}")

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.loads(error.read())["error"]) from None
        return json.loads(text) if text else None


def propose(weights, rng):
    """A copy of the vectors with one weight doubled or halved."""
    changed = {group: list(vector) for group, vector in weights.items()}
    vector = changed[rng.choice(sorted(changed))]
    i = rng.randrange(len(vector))
    vector[i] = min(100, max(1, vector[i] * 2 if rng.random() < 0.5 else vector[i] // 2))
    return changed


def play(env, weights, seed):
    """The sum of rewards of an episode on fixed weights, and its last p99."""
    env.reset(seed)
    total, done, info = 0.0, False, None
    while not done:
        _, reward, done, info = env.step(weights)
        total += reward
    return total, info["p99_ms"]


def main():
    base, scenario = sys.argv[1], sys.argv[2]
    episodes = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    rng, env = random.Random(1), Env(base, scenario)
    try:
        best = {g["upstream"]: list(g["weights"]) for g in env.first["groups"]}
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
