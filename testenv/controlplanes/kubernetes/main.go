// One multi-call binary for the lab: etcd and the Kubernetes control plane, so that the libraries they share are
// linked once. The program to run is the name it was started by (a symbolic link) or, failing that, its first
// argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // time zones of CronJob, on machines without a zone database

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // kubernetes_build_info
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// programs maps a name to a main that takes the arguments (the name first) and returns the exit code.
var programs = map[string]func(args []string) int{
	"etcd": func(args []string) int {
		etcdmain.Main(args)
		return 0
	},
	"kube-apiserver":          command(apiserver.NewAPIServerCommand),
	"kube-controller-manager": command(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
}

func main() {
	args := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	run, known := programs[args[0]]
	if !known && len(args) > 1 {
		args = args[1:]
		run, known = programs[args[0]]
	}
	if !known {
		fmt.Fprintln(os.Stderr, "usage: kubernetes etcd|kube-apiserver|kube-controller-manager|kube-scheduler [flags]")
		os.Exit(2)
	}
	os.Exit(run(args))
}

func command(build func() *cobra.Command) func(args []string) int {
	return func(args []string) int {
		os.Args = args // where cobra looks for the arguments
		return cli.Run(build())
	}
}
