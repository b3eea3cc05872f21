#!/usr/bin/env python3
"""Gymnasium environments of trimtab arena serve, standard library only.

    trimtab arena serve &
    python3 docs/examples/trimtab_gym.py http://127.0.0.1:18081     # checks the contract

    env = TrimtabEnv("http://127.0.0.1:18081", scenario="capacity-1-2-4")
    observation, info = env.reset(seed=1)
    observation, reward, terminated, truncated, info = env.step([1, 2, 4] * 3)

    vec = TrimtabVec("http://127.0.0.1:18081", num_envs=16, env="park/load_balance")

TrimtabEnv is a gymnasium.Env with gymnasium.spaces where gymnasium is installed, and has the same methods where it is
not; observations are then lists. TrimtabVec steps many environments in one call; one that ended has begun its next
episode, and infos["final_observation"] holds the last observation of the old one.
"""
import http.client
import json
import sys
import urllib.parse

try:
    import gymnasium
    import numpy
    Base = gymnasium.Env
except ImportError:
    gymnasium = numpy = None
    Base = object

API = 1
DEFAULT = "capacity-1-2-4"  # the scenario of trimtab/weights-v1 when none is named


class Connection:
    """One kept connection to the server."""

    def __init__(self, base):
        url = urllib.parse.urlsplit(base)
        self.http = http.client.HTTPConnection(url.hostname, url.port, timeout=600)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        try:
            self.http.request(method, path, data, {"Content-Type": "application/json"})
            response = self.http.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # an idle connection was closed
            self.http.close()
            self.http.request(method, path, data, {"Content-Type": "application/json"})
            response = self.http.getresponse()
        text = response.read()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            raise RuntimeError(answer["error"])
        return answer


def space(spec):
    """A space of a spec as gymnasium has it; the spec itself without gymnasium."""
    if gymnasium is None:
        return spec
    if spec["type"] == "discrete":
        return gymnasium.spaces.Discrete(spec["n"])
    return gymnasium.spaces.Box(numpy.array(spec["low"], dtype=numpy.float32), numpy.array(spec["high"], dtype=numpy.float32))


def observed(x):
    return x if numpy is None else numpy.asarray(x, dtype=numpy.float32)


def numbers(action):
    """An action as a list of numbers, whatever it came as."""
    if hasattr(action, "tolist"):
        action = action.tolist()
    return [float(v) for v in action] if isinstance(action, (list, tuple)) else [float(action)]


class TrimtabVec:
    """Several environments of one kind, stepped together."""

    def __init__(self, base, num_envs=1, env="trimtab/weights-v1", scenario=DEFAULT, autoreset=True, **options):
        self.connection = Connection(base)
        body = dict(options, api=API, env=env, num_envs=num_envs, autoreset=autoreset)
        if env == "trimtab/weights-v1" or scenario != DEFAULT:
            body["scenario"] = scenario
        made = self.connection.call("POST", "/v1/vec", body)
        self.path, self.num_envs, self.spec_ = "/v1/vec/" + made["id"], made["num_envs"], made["spec"]
        self.single_observation_space = space(self.spec_["observation_space"])
        self.single_action_space = space(self.spec_["action_space"])

    def reset(self, seed=0):
        """Begins an episode in every environment, on seed, seed + 1, …"""
        body = {"seeds": list(seed)} if isinstance(seed, (list, tuple)) else {"seed": seed}
        r = self.connection.call("POST", self.path + "/reset", body)
        return observed(r["observations"]), {"infos": r["infos"]}

    def step(self, actions):
        """One action for each environment."""
        r = self.connection.call("POST", self.path + "/step", {"actions": [numbers(a) for a in actions]})
        infos = {"infos": r["infos"], "final_observation": r["final_observations"]}
        return observed(r["observations"]), observed(r["rewards"]), r["terminated"], r["truncated"], infos

    def close(self):
        self.connection.call("DELETE", self.path)
        self.connection.http.close()


class TrimtabEnv(Base):
    """One environment with the contract of gymnasium.Env."""

    metadata = {"render_modes": []}

    def __init__(self, base, env="trimtab/weights-v1", scenario=DEFAULT, **options):
        self.vec = TrimtabVec(base, 1, env, scenario, autoreset=False, **options)
        self.description = self.vec.spec_
        self.observation_space = self.vec.single_observation_space
        self.action_space = self.vec.single_action_space
        self.next_seed = 0

    def reset(self, *, seed=None, options=None):
        if gymnasium is not None:
            super().reset(seed=seed)
        if seed is None:
            seed = self.next_seed
        self.next_seed = seed + 1
        observations, infos = self.vec.reset(seed)
        return observations[0], infos["infos"][0]

    def step(self, action):
        observations, rewards, terminated, truncated, infos = self.vec.step([action])
        return observations[0], float(rewards[0]), terminated[0], truncated[0], infos["infos"][0]

    def close(self):
        self.vec.close()


def check(base):
    """Plays both kinds of environments, single and vectorised, and checks what the contract promises."""
    env = TrimtabEnv(base, scenario="capacity-1-2-4-40", max_steps=3)
    first, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    assert list(first) == list(again), "the same seed gives another observation"
    for n in range(3):
        observation, reward, terminated, truncated, info = env.step([1, 2, 4] * 3)
        assert not terminated and truncated == (n == 2), "truncated when the time is over, and only then"
        assert reward <= 0 and info["requests"] > 0
    try:
        env.step([1, 2, 4] * 3)
        raise AssertionError("a step after the end was played")
    except RuntimeError as error:
        assert "reset first" in str(error)
    env.reset(seed=5)
    try:
        env.step([1, 2])
        raise AssertionError("too few weights were played")
    except RuntimeError as error:
        assert "want 9" in str(error)
    env.close()
    vec = TrimtabVec(base, num_envs=3, env="park/load_balance", park={"jobs": 5})
    vec.reset(1)
    for n in range(6):
        _, rewards, terminated, truncated, infos = vec.step([0, 1, 9])
        assert all(terminated) == (n == 4) and not any(truncated), "terminated when all jobs are finished"
        assert (infos["final_observation"][0] is not None) == (n == 4)
        assert len(rewards) == 3
    vec.close()
    for name, action in (("trimtab/edge-v1", [1]), ("trimtab/autoscale-v1", [3, 1] * 4)):
        env = TrimtabEnv(base, env=name, max_steps=2)
        first, _ = env.reset(seed=4)
        assert len(first) == len(env.description["observation_space"]["names"])
        assert not env.step(action)[3] and env.step(action)[3], "truncated after max_steps"
        env.close()
    print("the contract holds")


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:18081"
    check(base)
    if "--gymnasium" in sys.argv:
        env = TrimtabEnv(base, scenario="capacity-1-2-4-40", max_steps=3)
        print("gymnasium.Env:", isinstance(env, gymnasium.Env) and env.observation_space.contains(env.reset(seed=1)[0]))
        env.close()
