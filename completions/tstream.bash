# bash completion for tstream(1)
_tstream() {
	local cur=$2 option=$3
	COMPREPLY=()
	# Bash takes --option=value for three words.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $option == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $option in
	-k | --keys | -o | --output | -n | --notices | --cafile | --report)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--auth)
		mapfile -t COMPREPLY < <(compgen -W 'oauth1 bearer basic none' -- "$cur") ;;
	-t | --track | -f | --follow | -l | --locations | -p | --param | -u | \
		--url | -c | --count | -d | --duration | -s | --stats | --stall | \
		--buffer | --tweet-key | --resume | --proxy | -H | --header) ;;
	-h | --help)
		mapfile -t COMPREPLY < <(compgen -W 'all' -- "$cur") ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W '--track --follow --locations
			--param --v2 --url --keys --dry-run --output --notices
			--count --duration --test --report --stats --quiet --verbose --help
			--version --get --auth --header --resume --cafile --stall --tweet-key
			--buffer --proxy' -- "$cur") ;;
	esac
}
complete -o filenames -F _tstream tstream
