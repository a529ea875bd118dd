package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// progress shows how far a long step is: one line that is drawn over on a
// terminal, a line every ten seconds in plain mode, an object a second in json
// mode. It is safe for concurrent use; a nil progress shows nothing.
type progress struct {
	mu    sync.Mutex
	ui    *ui
	style string
	every time.Duration
	last  time.Time
	drawn bool
}

func newProgress(u *ui) *progress {
	p := &progress{ui: u, style: u.mode}
	if p.style == "auto" {
		p.style = "never"
		if isTerminal(u.env.stderr) && !u.quiet {
			p.style = "line"
		}
	}
	switch p.style {
	case "line":
		p.every = 100 * time.Millisecond
	case "json":
		p.every = time.Second
	default:
		p.every = 10 * time.Second
	}
	p.last = time.Now()
	return p
}

// observe is an ondisk.Observer.
func (p *progress) observe(e ondisk.Event) {
	if p == nil || p.style == "never" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last) < p.every {
		return
	} else {
		p.last = now
	}
	switch p.style {
	case "line":
		fmt.Fprintf(p.ui.env.stderr, "\r\033[K%s", p.text(e))
		p.drawn = true
	case "json":
		out, _ := json.Marshal(map[string]any{"schema": "vmconv.progress/1", "phase": e.Phase, "done": e.Done, "total": e.Total})
		fmt.Fprintln(p.ui.env.stderr, string(out))
	default:
		fmt.Fprintf(p.ui.env.stderr, "vmconv: %s\n", p.text(e))
	}
}

func (p *progress) text(e ondisk.Event) string {
	if e.Total <= 0 {
		return fmt.Sprintf("%s: %s", e.Phase, humanSize(e.Done))
	}
	return fmt.Sprintf("%s: %3.0f %% of %s", e.Phase, 100*float64(e.Done)/float64(e.Total), humanSize(e.Total))
}

// clear removes a drawn line, before something else is printed.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.ui.env.stderr, "\r\033[K")
		p.drawn = false
	}
}

// observer is who is told how far a step is; nil when nobody looks, so that
// nothing is counted for him.
func (u *ui) observer() ondisk.Observer {
	if u.progress == nil || u.progress.style == "never" {
		return nil
	}
	return u.progress.observe
}

func (u *ui) progressDone() { u.progress.clear() }

// humanSize is 1024-based, as ls -h prints it.
func humanSize(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d", n)
	}
	v, unit := float64(n), -1
	for v >= 1024 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	if v < 10 {
		return fmt.Sprintf("%.1f%c", v, units[unit])
	}
	return fmt.Sprintf("%.0f%c", v, units[unit])
}
