package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/fsedit/bootcheck"
)

// renderReport prints a conversion for a person.
func renderReport(w io.Writer, r convert.Report) {
	if r.System != "" {
		fmt.Fprintf(w, "%s: %s\n", strings.Join(r.Source, " "), printable(r.System))
	}
	if len(r.Changes) > 0 {
		if r.DryRun {
			fmt.Fprintln(w, "\nWould change in the guest:")
		} else {
			fmt.Fprintln(w, "\nChanged in the guest:")
		}
		for _, c := range r.Changes {
			fmt.Fprintf(w, "  %-8s %s\n", c.Kind, printable(c.Path))
			for _, why := range c.Reasons {
				fmt.Fprintf(w, "           %s\n", printable(why.Text))
			}
			if c.Label != "" {
				fmt.Fprintf(w, "           labelled %s\n", printable(c.Label))
			}
			if r.DryRun && c.Diff != "" {
				fmt.Fprintln(w, indent(printable(strings.TrimRight(c.Diff, "\n")), "    "))
			}
		}
	}
	if len(r.Checks) > 0 {
		fmt.Fprintln(w)
		renderChecks(w, r.Checks)
	}
	if r.Dropped > 0 {
		fmt.Fprintf(w, "\n%s of free blocks were not copied.\n", humanSize(r.Dropped))
	}
	if r.System != "" && len(r.Outputs) > 0 {
		fmt.Fprintln(w)
	}
	for _, out := range r.Outputs {
		verb := "wrote"
		if r.InPlace {
			verb = "changed"
		}
		fmt.Fprintf(w, "%s %s\n", verb, out)
	}
	if r.DryRun {
		fmt.Fprintln(w, "\nNothing was written (--dry-run).")
	}
}

// renderChecks prints the bootability table. Only a row that does not pass shows
// its id, which --accept takes.
func renderChecks(w io.Writer, checks []bootcheck.Row) {
	fmt.Fprintln(w, "Will it start?")
	for _, c := range checks {
		state, id := "yes", ""
		if !c.Pass {
			state, id = "no", " ["+c.ID+"]"
			if c.Required {
				state = "NO"
			}
		}
		fmt.Fprintf(w, "  %-3s  %-52s %s%s\n", state, printable(c.Text), printable(c.Evidence), id)
	}
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(text, "\n", "\n"+by)
}
