package imagefmt_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestAscent: ranges ascend inside the disk; a mistake of the caller changes
// nothing, a failure is final, an end is one.
func TestAscent(t *testing.T) {
	a := imagefmt.Ascent{Name: "x", Size: 10}
	for _, c := range []struct {
		off, n int64
		want   string
	}{
		{2, 3, ""}, {4, 1, "after one that ended at 5"}, {5, 6, "outside"}, {-1, 1, "outside"}, {5, 0, ""}, {7, 3, ""}, {10, 0, ""},
	} {
		if err := a.Admit(c.off, c.n); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Admit(%d, %d): %v, want %q", c.off, c.n, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	runs := 0
	finish := func() error { runs++; return broken }
	if err := a.Finish(ended, finish); err != context.Canceled || a.Ended() {
		t.Errorf("Finish without time: %v, ended %v", err, a.Ended())
	}
	for range 2 {
		if err := a.Finish(t.Context(), finish); err != broken || runs != 1 || !a.Ended() {
			t.Errorf("Finish: %v after %d runs", err, runs)
		}
	}
	failed := imagefmt.Ascent{Size: 10}
	if failed.Keep(nil) != nil || failed.Keep(broken) != broken || failed.Keep(ended.Err()) != context.Canceled {
		t.Error("Keep does not return what it is given")
	}
	if failed.Admit(0, 1) != broken || failed.Finish(t.Context(), finish) != broken || runs != 1 {
		t.Error("the first failure is not final")
	}
	given := imagefmt.Ascent{Size: 10}
	if given.Abort() != nil || !given.Ended() || given.Admit(0, 1) == nil || given.Finish(t.Context(), finish) == nil || runs != 1 {
		t.Error("an image that was given up went on")
	}
}

// TestProblems: all that is wrong is told at once, in an order that does not change.
func TestProblems(t *testing.T) {
	known := []imagefmt.Option{{Key: "a", Default: "1"}, {Key: "b", Default: "x", Choices: []string{"x", "y"}}}
	p := imagefmt.Problems{Format: "f"}
	if v := p.Values(known, map[string]string{"a": "2"}); v["a"] != "2" || v["b"] != "x" || p.Err() != nil {
		t.Errorf("%v, %v", v, p.Err())
	}
	p.Values(known, map[string]string{"b": "z", "d": "", "c": ""})
	want := "f: options: unknown option \"c\"\nf: options: unknown option \"d\"\nf: options: b=\"z\" is not one of x, y"
	if err := p.Err(); !errors.Is(err, ondisk.ErrUnsupported) || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
