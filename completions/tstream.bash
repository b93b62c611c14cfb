# bash completion for tstream(1)
_tstream() {
	local cur=$2 prev=$3
	COMPREPLY=()
	case $prev in
	-k | --keys | -n | --notices | --cafile | --report)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return ;;
	--auth)
		mapfile -t COMPREPLY < <(compgen -W 'oauth1 bearer basic none' -- "$cur")
		return ;;
	-t | --track | -f | --follow | -l | --locations | -p | --param | -u | \
		--url | -c | --count | -d | --duration | -s | --stats | --stall | \
		--buffer | --tweet-key | -H | --header)
		return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W '--track --follow --locations --param
		--url --keys --notices --count --duration --test --cafile --stall
		--buffer --v2 --get --auth --tweet-key --header --dry-run --report
		--stats --quiet --verbose --help --version' -- "$cur")
}
complete -o filenames -F _tstream tstream
