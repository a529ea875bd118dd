package main

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// logQuery chooses entries of a log.
type logQuery struct {
	since, until time.Time // zero for no bound
	units        []string  // patterns of whole unit names
	levels       [2]int    // of syslog(3); from and to
	anyLevel     bool
}

// logLevels are the words of syslog(3), by number.
var logLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// query reads the flags; now is what relative times count from.
func (f *logFlags) query(now time.Time) (logQuery, error) {
	q := logQuery{anyLevel: f.priority == ""}
	var err error
	if q.since, err = parseLogTime(f.since, now); err != nil {
		return q, err
	}
	if q.until, err = parseLogTime(f.until, now); err != nil {
		return q, err
	}
	if !q.anyLevel {
		if q.levels, err = parseLevels(f.priority); err != nil {
			return q, err
		}
	}
	for _, u := range f.units {
		if _, err := path.Match(u, ""); err != nil {
			return q, usagef("-u %q is no pattern", u)
		}
		if !strings.Contains(u, ".") && !strings.HasSuffix(u, "*") {
			u += ".service"
		}
		q.units = append(q.units, u)
	}
	if !slices.Contains([]string{"short", "short-iso", "json", "cat"}, f.output) {
		return q, usagef("-o takes short, short-iso, json or cat, not %q", f.output)
	}
	return q, nil
}

// parseLevels reads "err", "3" or "crit..warning"; one level means all that are
// at least as important.
func parseLevels(s string) ([2]int, error) {
	from, to, isRange := strings.Cut(s, "..")
	if !isRange {
		from, to = "0", from
	}
	var out [2]int
	for i, word := range []string{from, to} {
		n := slices.Index(logLevels, strings.ToLower(word))
		if v, err := strconv.Atoi(word); n < 0 && err == nil {
			n = v
		}
		if n < 0 || n >= len(logLevels) {
			return out, usagef("%q is no priority: 0 to 7, or %s", word, strings.Join(logLevels, ", "))
		}
		out[i] = n
	}
	return [2]int{min(out[0], out[1]), max(out[0], out[1])}, nil
}

// logTimes are the forms of an absolute time; without a zone it is UTC.
var logTimes = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", time.DateOnly}

func parseLogTime(s string, now time.Time) (time.Time, error) {
	today := now.UTC().Truncate(24 * time.Hour)
	switch s {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return today, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), nil
	}
	if seconds, ok := strings.CutPrefix(s, "@"); ok {
		if n, err := strconv.ParseFloat(seconds, 64); err == nil && n > -1e11 && n < 1e11 {
			return time.UnixMicro(int64(n * 1e6)), nil
		}
	}
	for _, form := range logTimes {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	if back, ok := strings.CutPrefix(s, "-"); ok {
		if days, ok := strings.CutSuffix(back, "d"); ok {
			if n, err := strconv.ParseUint(days, 10, 16); err == nil {
				return now.AddDate(0, 0, -int(n)), nil
			}
		}
		if d, err := time.ParseDuration(back); err == nil {
			return now.Add(-d), nil
		}
	}
	return time.Time{}, usagef("%q is no time: use 2026-11-22, \"2026-11-22 10:00:00\", @SECONDS, today, yesterday or -2h", s)
}

// inTime tells whether t is in the bounds, both of which count.
func (q *logQuery) inTime(t time.Time) bool {
	return (q.since.IsZero() || !t.Before(q.since)) && (q.until.IsZero() || !t.After(q.until))
}

func (q *logQuery) isUnit(name string) bool {
	return slices.ContainsFunc(q.units, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}
