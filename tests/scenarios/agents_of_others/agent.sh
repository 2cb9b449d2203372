#!/bin/sh
# Whoever comes first to a task whose account ends in 5 ends there, in the middle of its answer.
while read -r line; do
  id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
  number=$(printf '%s' "$line" | sed 's/.*"number":\([0-9]*\).*/\1/')
  case $line in *'"id":"a0'??'5-'*'"attempt":1,'*)
    echo "$id ends here" >&2
    printf '{"id":"%s","eff' "$id"
    kill -9 $$
  esac
  order='"account":"a","symbol":"'$id'","n":'$number',"side":"buy","quantity":1,"price":1.0'
  echo '{"id":"'"$id"'","effects":[{'"$order"'}]}'
done
