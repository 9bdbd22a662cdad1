# frozen_string_literal: true

class MessagesController < ApplicationController
  # current_user stands for whatever signs your users in.
  def create
    message = group.post(current_user.id.to_s, params.require(:text))
    render json: { id: message.id, sender: message.sender, text: message.text }
  end

  def index
    user = current_user.id.to_s
    shown = group.messages.order(:id).to_a
    counts = Message.counts(shown.select { |message| message.sender == user }, user)
    render json: shown.map { |message|
      read, of = counts[message.id]
      { id: message.id, sender: message.sender, text: message.text, read: read, of: of }
    }
  end

  def token
    render json: { token: Seenby.current.token(sub: current_user.id.to_s) }
  end

  private

  # The group, for one who is in it; for others there is none.
  def group
    Group.joins(:members).find_by!(id: params[:group_id], members: { user_id: current_user.id.to_s })
  end
end
