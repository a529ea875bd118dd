package ondisk

// Match is how sure a prober is that a device holds its format.
type Match int

const (
	None  Match = iota // not this format
	Maybe              // possible: no magic, or only a weak one
	Sure               // the magic and its surroundings agree
)

func (m Match) String() string {
	switch m {
	case None:
		return "none"
	case Maybe:
		return "maybe"
	default:
		return "sure"
	}
}
