package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type logFlags struct {
	image     imageFlags
	listBoots bool
	boot      string
	units     []string
	lines     int
	priority  string
	since     string
	until     string
	output    string
}

func newLog(a *app) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log SOURCE",
		Short: "Print the log of a stopped guest",
		Long: `Print the log of a stopped guest: its systemd journals (/var/log/journal), also
those that a crash has left open, merged in the order of time; or, where there are
none, its classic logs (/var/log/syslog, messages and what belongs to them, rotated
and packed ones included). The flags are those of journalctl.

Times are UTC. Classic logs say neither year nor zone: the year is that of the
file, the zone is left as it is. They know no boots and no priorities; -u takes
the program's name there.`,
		Example: `  vmconv log web.qcow2 -n 50
  vmconv log web.qcow2 -b -1 -p err            what went wrong in the boot before the last
  vmconv log web.qcow2 -u ssh --since 2026-11-01
  vmconv log web.qcow2 -o json | jq -r .MESSAGE
  vmconv log web.qcow2 --list-boots`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = f.output == "json"
			disks, paths, err := a.split(&f.image, args, true)
			if err != nil {
				return err
			}
			if len(paths) > 0 {
				return usagef("log takes no paths; vmconv cat prints a file")
			}
			q, err := f.query(time.Now())
			if err != nil {
				return err
			}
			return a.log(cmd.Context(), &f, disks, q)
		},
	}
	f.image.register(cmd.Flags())
	set := cmd.Flags()
	set.BoolVar(&f.listBoots, "list-boots", false, "list the boots in the journal")
	set.StringVarP(&f.boot, "boot", "b", "", "only boot `N`: 0 is the last, -1 the one before it, 1 the first; or its ID")
	set.StringArrayVarP(&f.units, "unit", "u", nil, "only this `UNIT`; may hold * and ?, and be given again")
	set.IntVarP(&f.lines, "lines", "n", -1, "only the last `N` entries")
	set.StringVarP(&f.priority, "priority", "p", "", "only this `LEVEL` and what is more important: 0 to 7, emerg to debug; or a range FROM..TO")
	set.StringVar(&f.since, "since", "", "only from `TIME` on: 2026-11-22, \"2026-11-22 10:00\", @SECONDS, yesterday, -2h")
	set.StringVar(&f.until, "until", "", "only until `TIME`")
	set.StringVarP(&f.output, "output", "o", "short", "`FORMAT`: short, short-iso, json or cat")
	return cmd
}

func (a *app) log(ctx context.Context, f *logFlags, disks []string, q logQuery) error {
	m, err := a.openMachine(ctx, &f.image, disks, readOnly)
	if err != nil {
		return err
	}
	defer m.Close()
	journals, err := a.openJournals(m.Tree)
	if err != nil {
		return err
	}
	out := newWriteBehind(a.stdout)
	if isTerminal(a.stdout) {
		err = a.printLog(ctx, f, m, journals, q, plainWriter{out})
	} else {
		err = a.printLog(ctx, f, m, journals, q, out)
	}
	if writeErr := out.Close(); writeErr != nil {
		return writeErr
	}
	if journals.torn > 0 {
		a.ui.warn(disks[0], "journal", fmt.Sprintf("%d damaged entries were left out", journals.torn))
	}
	return err
}

func (a *app) printLog(ctx context.Context, f *logFlags, m *guestSession, journals *journals, q logQuery, out io.Writer) error {
	switch {
	case len(journals.files) == 0:
		return a.printClassic(ctx, f, m.Tree, q, out)
	case f.listBoots:
		return journals.listBoots(ctx, out)
	}
	return journals.print(ctx, f, q, out)
}

// plainWriter keeps what a guest wrote from moving a terminal's cursor. Each call
// is whole lines.
type plainWriter struct{ out io.Writer }

func (w plainWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.out, printable(strings.ToValidUTF8(string(p), "?"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
