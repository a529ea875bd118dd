package stage

// Do runs one operation: all of it, or when it fails nothing.
func (s *Stage) Do(op func() error) error {
	s.undo = s.undo[:0]
	err := op()
	if err != nil {
		for i := len(s.undo) - 1; i >= 0; i-- {
			s.undo[i]()
		}
		s.undo = s.undo[:0]
	}
	return err
}

// Later registers what takes back a change that was just made.
func (s *Stage) Later(undo func()) { s.undo = append(s.undo, undo) }

// Set changes an entry of a map, and takes that back when the operation fails.
func Set[K comparable, V any](s *Stage, m map[K]V, k K, v V) {
	keep(s, m, k)
	m[k] = v
}

// Delete is Set for what goes.
func Delete[K comparable, V any](s *Stage, m map[K]V, k K) {
	keep(s, m, k)
	delete(m, k)
}

func keep[K comparable, V any](s *Stage, m map[K]V, k K) {
	old, had := m[k]
	s.Later(func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}
