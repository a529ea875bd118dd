package vmdef

import (
	"fmt"
	"slices"
)

// warnings collects what a source says and the neutral form cannot hold. It keeps
// each sentence once, and not more than a person would read.
type warnings struct{ list []string }

const maxWarnings = 100

func (w *warnings) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	switch {
	case len(w.list) > maxWarnings || slices.Contains(w.list, text):
	case len(w.list) == maxWarnings:
		w.list = append(w.list, "further warnings are left out")
	default:
		w.list = append(w.list, text)
	}
}

// short is a piece of the source in a message: one line of moderate length.
func short(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}
