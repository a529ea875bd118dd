package ondisk

// Event is one step of a long operation, for a progress display.
type Event struct {
	Phase string // "reading", "copying", "applying": a word a user knows
	Done  int64  // bytes done of this phase
	Total int64  // bytes of this phase; 0 when unknown
}

// Observer receives events; it is called often and must return at once. It may
// be called from several goroutines.
type Observer func(Event)

// Tell calls o if there is one.
func (o Observer) Tell(e Event) {
	if o != nil {
		o(e)
	}
}
