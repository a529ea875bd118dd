package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/formats"
)

// environment is what the process gives to the command; tests give their own.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(string) (string, bool)
}

// app is what the subcommands share.
type app struct {
	environment
	ui       *ui
	registry *imagefmt.Registry
	ring     *volume.Keyring // see keyring
}

// run is the whole program but for os.Exit.
func run(args []string, env environment) int {
	a := &app{environment: env, registry: formats.Default()}
	a.ui = newUI(env)
	ctx, stop, signalled := notify()
	defer stop()

	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	a.ui.progressDone()
	if sig := signalled(); sig != 0 && err != nil {
		a.ui.failure(cmd.Name(), interrupted(sig))
		return 128 + int(sig)
	}
	if err == nil {
		return exitOK
	}
	if errors.Is(err, syscall.EPIPE) {
		return 128 + int(syscall.SIGPIPE) // the reader of our output left
	}
	a.ui.failure(cmd.Name(), err)
	return exitCode(err)
}

// notify cancels the context at the first signal that asks to stop, and keeps
// which one it was. A second signal ends the process at once.
func notify() (ctx context.Context, stop func(), signalled func() syscall.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		if sig, ok := <-ch; ok {
			signal.Stop(ch)
			cancel(interrupted(sig.(syscall.Signal)))
		}
	}()
	stop = func() {
		signal.Stop(ch)
		close(ch) // nobody sends any more: the goroutine ends
		cancel(nil)
	}
	signalled = func() syscall.Signal {
		var sig interrupted
		if errors.As(context.Cause(ctx), &sig) {
			return syscall.Signal(sig)
		}
		return 0
	}
	return ctx, stop, signalled
}

// interrupted is the error of a run that a signal ended.
type interrupted syscall.Signal

func (i interrupted) Error() string {
	return "stopped by signal (" + syscall.Signal(i).String() + "); nothing was left behind, run it again"
}

func newRoot(a *app) *cobra.Command {
	var printVersion bool
	root := &cobra.Command{
		Use:   "vmconv",
		Short: "Move virtual machines between hypervisors, on their disks, without running them",
		Long: `vmconv converts a guest so that it starts on another hypervisor, and reads and
edits the files of a stopped guest. It needs no root, mounts nothing and runs no
guest code. The source is never written.`,
		Example: `  vmconv convert xen.img --to kvm            xen.qcow2 and xen.xml, ready for libvirt
  vmconv cat xen.img /etc/fstab              a file of a stopped guest
  vmconv edit web.qcow2 /etc/hosts -e 's/old/new/'
  VMCONV_IMAGE=xen.img vmconv ls -l /boot    the image from the environment`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; see 'vmconv --help'", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.ui.setup()
		},
	}
	a.ui.flags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see 'vmconv %s --help'", err, cmd.Name())
	})
	root.Flags().BoolVarP(&printVersion, "version", "V", false, "print the version")
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	root.AddCommand(
		newConvert(a), newInspect(a), newCat(a), newLs(a), newDf(a), newFilesystems(a), newDiff(a), newCp(a), newTarOut(a), newTarIn(a), newEdit(a), newLog(a),
		newInfo(a), newMap(a), newCheck(a), newCompare(a), newMeasure(a), newFormats(a), newTargets(a), newVersion(a),
	)
	return root
}
