package deathstarbench

// The workloads of the social network. Mixed is 60 % home, 30 % user and 10 % compose; it is a workload of the load
// generator only, a scenario writes the three loads.
const (
	ComposePost      = "compose-post"
	ReadHomeTimeline = "read-home-timeline"
	ReadUserTimeline = "read-user-timeline"
	Mixed            = "mixed"
)

// The paths of the calls behind the workloads, as DeathStarBench's NGINX serves them.
const (
	ComposePath      = "/wrk2-api/post/compose"
	HomeTimelinePath = "/wrk2-api/home-timeline/read"
	UserTimelinePath = "/wrk2-api/user-timeline/read"
	RegisterPath     = "/wrk2-api/user/register"
	FollowPath       = "/wrk2-api/user/follow"
	UnfollowPath     = "/wrk2-api/user/unfollow"
)

// Workloads returns the three workloads of the social network, in the order compose, home, user.
func Workloads() []string { return []string{ComposePost, ReadHomeTimeline, ReadUserTimeline} }

// Path returns the path that the workload asks for, and "" for an unknown one and for Mixed.
func Path(workload string) string {
	switch workload {
	case ComposePost:
		return ComposePath
	case ReadHomeTimeline:
		return HomeTimelinePath
	case ReadUserTimeline:
		return UserTimelinePath
	}
	return ""
}

// The users of the social graph that DeathStarBench brings have the ids 1…962. Its newer scripts use 0…961.
const (
	DefaultUsers     = 962
	DefaultFirstUser = 1
)
